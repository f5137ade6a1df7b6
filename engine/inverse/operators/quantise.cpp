// SPDX-License-Identifier: Apache-2.0
// So many bits a number. Its derivative is 0 almost everywhere and says nothing; what an inverse would be is the
// measurement itself.
#include <cmath>

#include "engine/inverse/measurement_operator.h"
#include "kernels/inverse/pointwise_measurements.h"

namespace ito {
namespace {

class Quantise : public MeasurementOperator {
 public:
  Quantise(const ImageShape& image, int bits) : MeasurementOperator(image, image), levels_((1 << bits) - 1) {}
  void apply(Stream& stream, float* y, const float* x, int n) override {
    quantise(stream, y, x, levels_, n * measurements());
  }
  void adjoint(Stream& stream, float* x, const float*, const float*, int n) override {
    fill_bytes(stream, x, 0, sizeof(float) * static_cast<size_t>(n * measurements()));
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    copy_on_device(stream, x, y, sizeof(float) * static_cast<size_t>(n * measurements()));
  }
  bool linear() const override { return false; }
  bool differentiable() const override { return false; }
  bool has_pseudo_inverse() const override { return true; }

 private:
  int levels_;  // besides the first one
};

std::unique_ptr<MeasurementOperator> make_quantise(const ImageShape& image, const std::string& text,
                                                   const std::string& args) {
  const double bits = operator_numbers(text, args, 1, 1, "quantise:BITS, the bits that are left of a number")[0];
  ITO_USER_CHECK(bits >= 1 && bits <= 8 && bits == std::floor(bits), text, ": ", bits,
                 " bits; expected a whole number of 1 to 8");
  return std::make_unique<Quantise>(image, static_cast<int>(bits));
}

}  // namespace

extern const OperatorKind kQuantiseOperator;
const OperatorKind kQuantiseOperator = {"quantise", "quantise:BITS  so many bits a number, 1 to 8", make_quantise};

}  // namespace ito
