// SPDX-License-Identifier: Apache-2.0
// What a network is told of images besides their noise, on the host: class numbers, or rows of real numbers.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ito {

struct LabelRows {
  LabelRows() = default;
  LabelRows(std::nullptr_t) {}                             // NOLINT(google-explicit-constructor): none
  LabelRows(const int32_t* numbers) : classes(numbers) {}  // NOLINT(google-explicit-constructor): the usual kind
  explicit LabelRows(const float* rows) : values(rows) {}
  // Those from an image on; width: Network::label_width.
  LabelRows from(int64_t image, int width) const {
    LabelRows rest;
    if (classes) rest.classes = classes + image;
    if (values) rest.values = values + image * width;
    return rest;
  }

  const int32_t* classes = nullptr;  // (N)
  const float* values = nullptr;     // (N, label_width)
};

}  // namespace ito
