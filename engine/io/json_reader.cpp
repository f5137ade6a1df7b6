// SPDX-License-Identifier: Apache-2.0
// See json_reader.h.
#include "engine/io/json_reader.h"

#include <algorithm>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {

JsonReader::JsonReader(const Json& object, const std::string& where) : object_(object), where_(where) {
  ITO_USER_CHECK(object.is_object(), where, ": found ", object.type_name(), ", expected a JSON object of settings");
}

bool JsonReader::is_null(const char* key) {
  const Json* found = find(key);
  return found && found->is_null();
}

Json JsonReader::unread() const {
  Json rest = Json::object();
  for (const auto& [key, value] : object_.items())
    if (!key.starts_with('_') && !value.is_null() && std::find(asked_.begin(), asked_.end(), key) == asked_.end())
      rest[key] = value;
  return rest;
}

std::string JsonReader::unread_names() const {
  std::vector<std::string> names;
  const Json rest = unread();
  for (const auto& [key, value] : rest.items()) names.push_back(key);
  return list_names(names);
}

const Json* JsonReader::find(const char* key) {
  asked_.emplace_back(key);
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

void JsonReader::expect(bool ok, const char* key, const Json& found, const char* expected) const {
  ITO_USER_CHECK(ok, where_, ": ", key, " is ", printable(found.dump(), 60), "; expected ", expected);
}

bool JsonReader::is_reasonable(const Json& found) {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (found.is_number_unsigned()) return found.get<uint64_t>() <= uint64_t{kMost};
  return found.is_number_integer() && found.get<int64_t>() >= -kMost;
}

}  // namespace ito
