// SPDX-License-Identifier: Apache-2.0
// See whole_numbers.h. An option tells its type by the name that the help shows: INT or UINT, whatever the width.
#include "tools/commands/whole_numbers.h"

#include <charconv>
#include <string>
#include <vector>

namespace ito {
namespace {

// The number in the digits that the parser's conversion reads as they are meant.
template <class T>
std::string plain_decimal(const CLI::Option& option, const std::string& text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  T value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + (plus ? 1 : 0), end, value);
  if (error != std::errc() || stop != end)
    throw CLI::ConversionError(option.get_name(), std::vector<std::string>{text});
  return std::to_string(value);
}

}  // namespace

void read_whole_numbers_in_decimal(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type.starts_with("UINT"))
      option->transform([option](const std::string& text) { return plain_decimal<uint64_t>(*option, text); });
    else if (type.starts_with("INT"))
      option->transform([option](const std::string& text) { return plain_decimal<int64_t>(*option, text); });
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) read_whole_numbers_in_decimal(*command);
}

}  // namespace ito
