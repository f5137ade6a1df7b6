// SPDX-License-Identifier: Apache-2.0
// Keeps the warnings that are given while it lives, in place of printing them.
#pragma once
#include <string>
#include <vector>

#include "kernels/error.h"

namespace ito {

class WarningsKept {
 public:
  WarningsKept() : before_(warning_sink.exchange([](const std::string& text) { all().push_back(text); })) {
    all().clear();
  }
  ~WarningsKept() { warning_sink = before_; }
  WarningsKept(const WarningsKept&) = delete;
  WarningsKept& operator=(const WarningsKept&) = delete;

  static std::vector<std::string>& all() {
    static std::vector<std::string> kept;
    return kept;
  }

 private:
  WarningSink before_;
};

}  // namespace ito
