// SPDX-License-Identifier: Apache-2.0
// What a network is told of images besides their noise, on the host: class numbers, or rows of real numbers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

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

// The same with the numbers themselves: one of the two, as the network has them, or none.
struct Labels {
  Labels() = default;
  Labels(std::vector<int32_t> numbers) : classes(std::move(numbers)) {}  // NOLINT(google-explicit-constructor)
  explicit Labels(std::vector<float> rows) : values(std::move(rows)) {}
  LabelRows rows() const {
    LabelRows rows;
    if (!classes.empty()) rows.classes = classes.data();
    if (!values.empty()) rows.values = values.data();
    return rows;
  }

  std::vector<int32_t> classes;  // (N)
  std::vector<float> values;     // (N, label_width)
};

}  // namespace ito
