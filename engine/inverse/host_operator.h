// SPDX-License-Identifier: Apache-2.0
// A measurement operator for data on the host: what measures images, and what checks a restored one. Restoration has
// another of its own, inside its loop.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/inverse/measurement_operator.h"

namespace ito {

class HostOperator {
 public:
  HostOperator(const std::string& text, const ImageShape& image);

  const MeasurementOperator& op() const { return *op_; }
  // x (n, H, W, C), y (n, M).
  std::vector<float> apply(const std::vector<float>& x);
  std::vector<float> pseudo_inverse(const std::vector<float>& y);
  // Tells operators of one name apart, whose files have changed, say: what it makes of one fixed image.
  uint64_t fingerprint();

 private:
  template <class Launch>
  std::vector<float> in_batches(const std::vector<float>& from, int64_t width, int64_t made, const Launch& launch);

  std::unique_ptr<MeasurementOperator> op_;
  int batch_;
  BufferList buffers_;
  DeviceBuffer<float> x_, y_;
  Stream stream_{"operator"};
};

}  // namespace ito
