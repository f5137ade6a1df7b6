// SPDX-License-Identifier: Apache-2.0
// Settings from a JSON object, one key after another, each with the type it must have. Strict, since the library's own
// conversions wrap large numbers, cut fractions and take true for 1. An error is one line: the file, the key, what was
// found, what is expected.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/io/json_file.h"

namespace ito {

class JsonReader {
 public:
  // where: the file's name for messages. UserError if it is no object. Both outlive the reader.
  JsonReader(const Json& object, const std::string& where);

  // A key that is absent leaves the value as it is. T: bool, int, double, std::string, a std::vector of those, or
  // std::array<int, 2>, which is [a, b] or one number for both.
  template <class T>
  void read(const char* key, T& value) {
    if (const Json* found = find(key)) value = convert<T>(key, *found);
  }
  // null: no value.
  template <class T>
  void read(const char* key, std::optional<T>& value) {
    const Json* found = find(key);
    if (!found) return;
    if (found->is_null())
      value.reset();
    else
      value = convert<T>(key, *found);
  }
  // A name of one of several things: value = of(name), which throws for a name that it does not know.
  template <class T, class Of>
  void read_name(const char* key, T& value, const Of& of) {
    const Json* found = find(key);
    if (!found) return;
    expect(found->is_string(), key, *found, "a name");
    value = of(std::string_view(found->template get_ref<const std::string&>()));
  }

  bool has(const char* key) const { return object_.contains(key); }
  bool is_null(const char* key);  // there, and null
  // The keys that nothing asked for, but those that begin with '_', which are diffusers' own, and null, which asks for
  // nothing; and their names, quoted and joined.
  Json unread() const;
  std::string unread_names() const;

 private:
  const Json* find(const char* key);
  void expect(bool ok, const char* key, const Json& found, const char* expected) const;
  static bool is_reasonable(const Json& found);  // a whole number of at most 2^30, either sign

  template <class T>
  T convert(const char* key, const Json& found) const {
    if constexpr (std::is_same_v<T, bool>) {
      expect(found.is_boolean(), key, found, "true or false");
    } else if constexpr (std::is_same_v<T, int>) {
      expect(is_reasonable(found), key, found, "a whole number of reasonable size");
    } else if constexpr (std::is_same_v<T, double>) {
      expect(found.is_number(), key, found, "a number");
    } else if constexpr (std::is_same_v<T, std::string>) {
      expect(found.is_string(), key, found, "text");
    } else if constexpr (std::is_same_v<T, std::array<int, 2>>) {
      if (!found.is_array()) return {convert<int>(key, found), convert<int>(key, found)};
      expect(found.size() == 2, key, found, "a size or [height, width]");
      return {convert<int>(key, found[0]), convert<int>(key, found[1])};
    } else {
      expect(found.is_array(), key, found, "a list");
      T list;
      for (const Json& item : found) list.push_back(convert<typename T::value_type>(key, item));
      return list;
    }
    if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) return found.get<T>();
  }

  const Json& object_;
  const std::string& where_;
  std::vector<std::string> asked_;
};

// A value as JsonReader reads it: null for none.
template <class T>
Json json_value(const T& value) {
  return value;
}
template <class T>
Json json_value(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace ito
