// SPDX-License-Identifier: Apache-2.0
// See composition.h.
#include "engine/inverse/composition.h"

#include <algorithm>

namespace ito {
namespace {

class Composition : public MeasurementOperator {
 public:
  Composition(std::unique_ptr<MeasurementOperator> outer, std::unique_ptr<MeasurementOperator> inner)
      : MeasurementOperator(inner->image(), outer->measured()), outer_(std::move(outer)), inner_(std::move(inner)) {}

  void plan(int batch, BufferList& buffers) override {
    inner_->plan(batch, buffers);
    outer_->plan(batch, buffers);
    const size_t between = static_cast<size_t>(batch * inner_->measurements());
    buffers.add(between_, between, "a measurement between two operators");
    buffers.add(residual_, between, "a measurement between two operators");
  }
  void prepare(Stream& stream) override {
    inner_->prepare(stream);
    outer_->prepare(stream);
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
  bool linear() const override { return outer_->linear() && inner_->linear(); }
  bool differentiable() const override { return outer_->differentiable() && inner_->differentiable(); }

 private:
  std::unique_ptr<MeasurementOperator> outer_, inner_;
  DeviceBuffer<float> between_, residual_;
};

}  // namespace

std::unique_ptr<MeasurementOperator> compose(std::unique_ptr<MeasurementOperator> outer,
                                             std::unique_ptr<MeasurementOperator> inner) {
  ITO_CHECK(outer->image() == inner->measured(),
            "compose: the outer operator does not see what the inner one measures");
  return std::make_unique<Composition>(std::move(outer), std::move(inner));
}

}  // namespace ito
