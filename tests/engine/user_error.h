// SPDX-License-Identifier: Apache-2.0
// The text of a refusal.
#pragma once
#include <string>

#include "kernels/error.h"

namespace ito::test {

// The text of the UserError that f throws; "" if it throws none.
template <class F>
std::string user_error(F&& f) {
  try {
    f();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

}  // namespace ito::test
