// SPDX-License-Identifier: Apache-2.0
// See host_operator.h.
#include "engine/inverse/host_operator.h"

#include <algorithm>

#include "engine/io/hash.h"
#include "engine/program/memory_check.h"
#include "kernels/random/philox.h"
#include "kernels/seams/memory_limit.h"

namespace ito {
namespace {

constexpr int64_t kBatchNumbers = int64_t{1} << 20, kMostAtOnce = 64;

}  // namespace

HostOperator::HostOperator(const std::string& text, const ImageShape& image) : op_(measurement_operator(text, image)) {
  const int64_t widest = std::max(image.size(), op_->measurements());
  batch_ = static_cast<int>(std::clamp<int64_t>(kBatchNumbers / widest, 1, kMostAtOnce));
  op_->plan(batch_, buffers_);
  buffers_.add(x_, static_cast<size_t>(batch_ * image.size()), "images to measure");
  buffers_.add(y_, static_cast<size_t>(batch_ * op_->measurements()), "measurements");
  check_memory("measuring", {{"operator", buffers_.bytes()}}, device_memory_limit(), "take smaller images");
  buffers_.allocate();
  op_->prepare(stream_);
}

// launch(from, to, n) makes n rows of `made` numbers of n rows of `width`.
template <class Launch>
std::vector<float> HostOperator::in_batches(const std::vector<float>& from, int64_t width, int64_t made,
                                            const Launch& launch) {
  const int64_t count = static_cast<int64_t>(from.size()) / width;
  std::vector<float> to(static_cast<size_t>(count * made));
  for (int64_t at = 0; at < count; at += batch_)
    launch(from.data() + at * width, to.data() + at * made, static_cast<int>(std::min<int64_t>(batch_, count - at)));
  return to;
}

std::vector<float> HostOperator::apply(const std::vector<float>& x) {
  const int64_t size = op_->image().size(), m = op_->measurements();
  return in_batches(x, size, m, [&](const float* from, float* to, int n) {
    copy_to_device(stream_, x_.data(), from, static_cast<size_t>(n * size) * sizeof(float));
    op_->apply(stream_, y_.data(), x_.data(), n);
    copy_to_host(stream_, to, y_.data(), static_cast<size_t>(n * m) * sizeof(float));
  });
}

std::vector<float> HostOperator::pseudo_inverse(const std::vector<float>& y) {
  const int64_t size = op_->image().size(), m = op_->measurements();
  return in_batches(y, m, size, [&](const float* from, float* to, int n) {
    copy_to_device(stream_, y_.data(), from, static_cast<size_t>(n * m) * sizeof(float));
    op_->pseudo_inverse(stream_, x_.data(), y_.data(), n);
    copy_to_host(stream_, to, x_.data(), static_cast<size_t>(n * size) * sizeof(float));
  });
}

uint64_t HostOperator::fingerprint() {
  std::vector<float> x(static_cast<size_t>(op_->image().size()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = 2 * uniform01(philox4x32(0, static_cast<uint32_t>(i), 0, 0, 0).v[0]) - 1;
  const std::vector<float> y = apply(x);
  return hash_bytes(kHashStart, y.data(), y.size() * sizeof(float));
}

}  // namespace ito
