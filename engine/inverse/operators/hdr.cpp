// SPDX-License-Identifier: Apache-2.0
// An image that was exposed twice too long: y = clip(2 x, -1, 1). What an inverse would be halves what is left.
#include "engine/inverse/measurement_operator.h"
#include "kernels/inverse/conjugate_gradients.h"
#include "kernels/inverse/pointwise_measurements.h"

namespace ito {
namespace {

class Hdr : public MeasurementOperator {
 public:
  explicit Hdr(const ImageShape& image) : MeasurementOperator(image, image) {}
  void plan(int, BufferList& buffers) override { buffers.add(half_, 2, "factors of an inverse"); }
  void prepare(Stream& stream) override {
    const float half[] = {0, 0.5f};
    half_.upload(stream, half);
  }
  void apply(Stream& stream, float* y, const float* x, int n) override { clip_range(stream, y, x, n * measurements()); }
  void adjoint(Stream& stream, float* x, const float* r, const float* at, int n) override {
    clip_range_adjoint(stream, x, r, at, n * measurements());
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    // 0 x + y / 2, of an x that is a number.
    copy_on_device(stream, x, y, sizeof(float) * static_cast<size_t>(n * measurements()));
    scale_and_shift(stream, x, y, half_.data(), nullptr, n * measurements());
  }
  bool linear() const override { return false; }
  bool has_pseudo_inverse() const override { return true; }

 private:
  DeviceBuffer<float> half_;
};

std::unique_ptr<MeasurementOperator> make_hdr(const ImageShape& image, const std::string& text,
                                              const std::string& args) {
  ITO_USER_CHECK(args.empty(), text, ": hdr takes no arguments");
  return std::make_unique<Hdr>(image);
}

}  // namespace

extern const OperatorKind kHdrOperator;
const OperatorKind kHdrOperator = {"hdr", "hdr  the image times two, clipped to its range", make_hdr};

}  // namespace ito
