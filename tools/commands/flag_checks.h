// SPDX-License-Identifier: Apache-2.0
// What the sub-commands check of their flags' values, with one wording: "--flag VALUE: expected ...".
#pragma once
#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>

#include "engine/run/run_config.h"
#include "kernels/error.h"

namespace ito {

// note: what a value at the edge means, e.g. " (0: all cores)".
template <class T>
void check_range(const char* flag, T value, T least, T most, const char* note = "") {
  ITO_USER_CHECK(value >= least && value <= most, flag, " ", value, ": expected ", least, " to ", most, note);
}

template <class T>
void check_at_least(const char* flag, T value, T least, const char* note = "") {
  ITO_USER_CHECK(value >= least, flag, " ", value, ": expected at least ", least, note);
}

inline void check_batch(int batch) {
  check_range("--batch", batch, 1, kMaxBatch);
}

inline void check_threads(int threads) {
  check_range("--threads", threads, 0, kMaxThreads, " (0: all cores)");
}

inline void check_image_size(int height, int width) {
  check_range("--height", height, 0, kMaxImageSide, " (0: as the model says)");
  check_range("--width", width, 0, kMaxImageSide, " (0: as the model says)");
}

// checkpoint_every -> --checkpoint-every
inline std::string flag_of(std::string_view key) {
  std::string flag = "--" + std::string(key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

}  // namespace ito
