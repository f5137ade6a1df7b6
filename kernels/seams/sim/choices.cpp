// SPDX-License-Identifier: Apache-2.0
// The executor runs our own kernels and loops alone, in one way.
#include "kernels/seams/choices.h"

namespace ito {

std::string kernel_choices() {
  return "sim";
}

std::string advice_for_choices(const std::string&) {
  return {};
}

}  // namespace ito
