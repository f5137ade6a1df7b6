// SPDX-License-Identifier: Apache-2.0
// The options of a call of the library: a C list of "key=value", from which each is taken by its key.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ito {

class OptionList {
 public:
  explicit OptionList(const char* const* options);  // UserError for a text without =, or a key that stands twice

  std::string text(const std::string& key, const std::string& usual);
  // UserError naming key and value for what is no number, or out of range.
  double number(const std::string& key, double usual, double least, double most);
  int64_t whole(const std::string& key, int64_t usual, int64_t least, int64_t most);
  std::optional<bool> on_off(const std::string& key);  // nothing where it is not given
  bool flag(const std::string& key);                   // true or false; false where it is not given

  std::vector<std::string> rest() const;  // "key=value", what was not taken
  void expect_none_left() const;          // UserError naming the first that was not taken, with those that were asked

 private:
  std::optional<std::string> take(const std::string& key);

  std::vector<std::pair<std::string, std::string>> left_;
  std::vector<std::string> asked_;
};

}  // namespace ito
