// SPDX-License-Identifier: Apache-2.0
// A library or kernel that does not take what a layer asks of it; another may.
#pragma once
#include "kernels/error.h"

namespace ito {

class RunnerRefused : public Error {
 public:
  using Error::Error;
};

}  // namespace ito
