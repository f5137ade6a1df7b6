// SPDX-License-Identifier: Apache-2.0
// See name_json.h.
#include "engine/run/name_json.h"

#include <charconv>

#include "engine/io/input_file.h"

namespace ito {
namespace {

constexpr const char* kHex = "hex";

bool is_utf8(const std::string& text) {
  try {
    (void)Json(text).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

}  // namespace

Json json_of_name(const std::string& name) {
  if (is_utf8(name)) return name;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return {{kHex, hex}, {"text", printable(name)}};
}

std::optional<std::string> name_of_json(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_object() || !value.contains(kHex) || !value[kHex].is_string()) return {};
  const std::string hex = value[kHex];
  if (hex.size() % 2 != 0) return {};
  std::string name;
  for (size_t i = 0; i < hex.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(&hex[i], &hex[i] + 2, byte, 16);
    if (error != std::errc() || end != &hex[i] + 2 || byte == 0) return {};
    name += static_cast<char>(byte);
  }
  return name;
}

}  // namespace ito
