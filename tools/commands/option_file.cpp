// SPDX-License-Identifier: Apache-2.0
// See option_file.h. A key is the option's name with underscores for dashes.
#include "tools/commands/option_file.h"

#include <algorithm>

#include "engine/io/input_file.h"
#include "engine/run/name_json.h"
#include "engine/run/run_config.h"
#include "engine/run/run_folder.h"
#include "kernels/error.h"
#include "tools/commands/flag_checks.h"

namespace ito {
namespace {

// A value of a config file has the type of its option's default.
void check_config_value(const std::string& path, const std::string& key, const Json& value, const Json& usual) {
  const bool number = usual.is_number_float() ? value.is_number() : value.is_number_integer();
  const char* expected = usual.is_string()         ? "a text"
                         : usual.is_boolean()      ? "true or false"
                         : usual.is_array()        ? "a list of numbers"
                         : usual.is_number_float() ? "a number"
                                                   : "a whole number";
  bool fits = usual.is_number()   ? number
              : usual.is_string() ? name_of_json(value).has_value()
                                  : value.type() == usual.type();
  if (usual.is_array() && fits)
    fits = std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_number(); });
  ITO_USER_CHECK(fits, path, ": ", key, " is ", printable(value.dump(), 60), "; expected ", expected);
}

// The key in JSON of every option.
std::vector<std::string> known_keys(const CLI::App& command) {
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options())
    for (std::string name : option->get_lnames()) {
      std::replace(name.begin(), name.end(), '-', '_');
      known.push_back(name);
    }
  return known;
}

}  // namespace

std::vector<std::string> apply_option_file(CLI::App& command, const std::string& path) {
  const Json file = read_json_file(path);
  ITO_USER_CHECK(file.is_object(), path, ": found ", file.type_name(), ", expected a JSON object of options");
  const Json defaults = RunConfig{}.json();
  const std::vector<std::string> known = known_keys(command);
  std::vector<std::string> applied;
  for (const auto& [key, value] : file.items()) {
    if (key == kStartedIn) continue;
    ITO_USER_CHECK(key != "config" && std::find(known.begin(), known.end(), key) != known.end(), path, ": unknown key ",
                   printable(key, 100), did_you_mean(key, known));
    const std::string name = flag_of(key);
    CLI::Option* option = command.get_option(name);
    if (defaults.contains(key)) check_config_value(path, key, value, defaults[key]);
    if (option->count() > 0) continue;
    try {
      for (const Json& item : value.is_array() ? value : Json::array({value}))
        option->add_result(name_of_json(item).value_or(item.dump()));
      option->run_callback();
      applied.push_back(key);
    } catch (const CLI::Error&) {
      fail<UserError>(path, ": ", key, " is ", printable(value.dump(), 60), ", which is not what ", name,
                      " takes; see ito train --help");
    }
  }
  return applied;
}

}  // namespace ito
