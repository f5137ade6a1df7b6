// SPDX-License-Identifier: Apache-2.0
// See composition.h.
#include "engine/inverse/composition.h"

#include "engine/inverse/dense_spectrum.h"
#include "engine/inverse/normal_equations.h"

namespace ito {
namespace {

// Whether H H^T is a multiple of the identity: one value, of as many
// coordinates as there are measurements.
bool has_equal_orthogonal_rows(MeasurementOperator& op) {
  Spectrum* const spectrum = op.spectrum();
  if (!spectrum) return false;
  int64_t measured = 0;
  int32_t value = -1;
  for (const int32_t number : spectrum->value_of()) {
    if (spectrum->values()[static_cast<size_t>(number)] == 0) continue;
    if (value >= 0 && number != value) return false;
    value = number;
    ++measured;
  }
  return measured == op.measurements();
}

// Whether op only turns what it sees, so that what comes before it keeps its V and its values.
bool is_orthogonal(MeasurementOperator& op) {
  return op.measurements() == op.image().size() && has_equal_orthogonal_rows(op) &&
         op.spectrum()->values() == std::vector<double>{1};
}

class Composition : public MeasurementOperator {
 public:
  Composition(std::unique_ptr<MeasurementOperator> outer, std::unique_ptr<MeasurementOperator> inner)
      : MeasurementOperator(inner->image(), outer->measured()), outer_(std::move(outer)), inner_(std::move(inner)) {
    keeps_spectrum_ = linear() && is_orthogonal(*outer_) && inner_->spectrum();
    in_turn_ = outer_->has_pseudo_inverse() && inner_->has_pseudo_inverse() &&
               (!linear() || keeps_spectrum_ || has_equal_orthogonal_rows(*inner_));
  }
  // Once this is whole: a matrix is made by applying it.
  void find_factors() {
    if (!keeps_spectrum_) dense_ = dense_factors(*this);
    whole_ = true;
  }

  void plan(int batch, BufferList& buffers) override {
    inner_->plan(batch, buffers);
    outer_->plan(batch, buffers);
    const size_t between = static_cast<size_t>(batch * inner_->measurements());
    buffers.add(between_, between, "a measurement between two operators");
    buffers.add(residual_, between, "a measurement between two operators");
    if (by_gradients()) normal_.plan(batch, *this, buffers);
    if (dense_ && !in_turn_) dense_->inverse.plan(buffers);
  }
  void prepare(Stream& stream) override {
    inner_->prepare(stream);
    outer_->prepare(stream);
    if (by_gradients()) normal_.prepare(stream, *this);
    if (dense_ && !in_turn_) dense_->inverse.prepare(stream);
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    inner_->apply(stream, between_.data(), x, n);
    outer_->apply(stream, y, between_.data(), n);
  }
  void adjoint(Stream& stream, float* x, const float* r, const float* at, int n) override {
    if (!outer_->linear()) inner_->apply(stream, between_.data(), at, n);
    outer_->adjoint(stream, residual_.data(), r, between_.data(), n);
    inner_->adjoint(stream, x, residual_.data(), at, n);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    if (by_gradients()) {
      normal_.solve(stream, *this, x, y, n);
    } else if (!in_turn_) {
      dense_->inverse.apply(stream, x, y, n, 1);
    } else {
      outer_->pseudo_inverse(stream, between_.data(), y, n);
      inner_->pseudo_inverse(stream, x, between_.data(), n);
    }
  }
  bool has_pseudo_inverse() const override { return in_turn_ || linear(); }
  Spectrum* spectrum() override { return keeps_spectrum_ ? inner_->spectrum() : dense_ ? &dense_->spectrum : nullptr; }
  bool linear() const override { return outer_->linear() && inner_->linear(); }
  bool differentiable() const override { return outer_->differentiable() && inner_->differentiable(); }

 private:
  bool by_gradients() const { return linear() && !in_turn_ && !dense_ && whole_; }

  std::unique_ptr<MeasurementOperator> outer_, inner_;
  bool keeps_spectrum_ = false;
  bool in_turn_ = false;  // H+ = H1+ H2+; of what is not linear, this is what an inverse would be
  NormalEquations normal_;
  std::unique_ptr<DenseFactors> dense_;
  bool whole_ = false;  // false while the matrix is written out, which asks for no inverse
  DeviceBuffer<float> between_, residual_;
};

}  // namespace

std::unique_ptr<MeasurementOperator> compose(std::unique_ptr<MeasurementOperator> outer,
                                             std::unique_ptr<MeasurementOperator> inner) {
  ITO_CHECK(outer->image() == inner->measured(),
            "compose: the outer operator does not see what the inner one measures");
  auto made = std::make_unique<Composition>(std::move(outer), std::move(inner));
  made->find_factors();
  return made;
}

}  // namespace ito
