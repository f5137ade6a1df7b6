// SPDX-License-Identifier: Apache-2.0
// See tensor_conv.h. Bias, residual and scale are taken into the product's last step; a bias gradient into the pass
// over dy that the filters' gradient makes.
#include "kernels/seams/lanes/tensor_conv.h"

#include "kernels/nn/conv_sm80.h"
#include "kernels/nn/conv_sm90.h"

namespace ito {
namespace {

bool sm80_takes(const ConvTask& task) {
  return task.type == DType::BF16 && !conv_sm80_refusal({task.shape});
}

bool sm90_takes(const ConvTask& task) {
  if (task.type != DType::BF16 || !conv_sm90_runs()) return false;
  const ConvSm80Shape shape{task.shape};
  if (task.direction == ConvDirection::Forward) return !conv_sm90_refusal(shape);
  return task.direction == ConvDirection::Data && !conv_sm90_data_refusal(shape);
}

class TensorRunner : public ConvRunner {
 public:
  TensorRunner(const ConvTask& task, bool hopper) : direction_(task.direction), shape_{task.shape}, hopper_(hopper) {}
  std::string name() const override { return (hopper_ ? kSm90Conv : kSm80Conv).name; }
  int channel_multiple() const override { return 8; }
  int moment_rows() const override {
    return direction_ == ConvDirection::Forward && !hopper_ ? conv_sm80_moment_rows(shape_) : 0;
  }
  int norm_rows() const override {
    return direction_ == ConvDirection::Data && !hopper_ ? conv_sm80_norm_rows(shape_) : 0;
  }
  size_t workspace(int n) override {
    return direction_ == ConvDirection::Weight ? conv_sm80_backward_weight_workspace(shape_, n) : 0;
  }
  void run(Stream& stream, const ConvCall& call) override {
    const ConvSm80Input input{.x = as_bf16(call.x)};
    bf16* result = static_cast<bf16*>(call.result.data);
    const bf16 *filters = as_bf16(call.filters), *dy = as_bf16(call.dy);
    switch (direction_) {
      case ConvDirection::Forward: {
        const ConvEpilogue& e = call.epilogue;
        const ConvSm80Epilogue epilogue{
            .bias = e.bias, .residual = as_bf16(e.residual), .scale = e.scale, .moments = e.moments};
        if (hopper_) return conv_sm90_forward(stream, result, input, filters, epilogue, shape_, call.n);
        return conv_sm80_forward(stream, result, input, filters, epilogue, shape_, call.n);
      }
      case ConvDirection::Data:
        if (hopper_) return conv_sm90_backward_data(stream, result, call.write, dy, filters, shape_, call.n);
        return conv_sm80_backward_data(stream, {.dx = result, .write = call.write, .norm = sm80_norm(call.norm)}, dy,
                                       filters, shape_, call.n);
      case ConvDirection::Weight:
        return conv_sm80_backward_weight(stream, {.dweight = call.dweight, .dbias = call.dbias}, dy, input, shape_,
                                         call.n, call.workspace);
    }
  }

 private:
  ConvDirection direction_;
  ConvSm80Shape shape_;
  bool hopper_;
};

}  // namespace

ConvSm80Norm sm80_norm(const NormBefore& norm) {
  return {as_bf16(norm.x), as_bf16(norm.x1), norm.first_c, norm.silu, norm.chain, norm.sums};
}

const ConvFamily kSm80Conv{
    .name = "sm80",
    .tried = true,
    .proposals = [](const ConvTask& task) -> std::vector<std::string> {
      if (!sm80_takes(task)) return {};
      return {"sm80"};
    },
    .make = [](const std::string&, const ConvTask& task, const std::string& name) -> std::unique_ptr<ConvRunner> {
      return name == "sm80" && sm80_takes(task) ? std::make_unique<TensorRunner>(task, false) : nullptr;
    }};

const ConvFamily kSm90Conv{
    .name = "sm90",
    .tried = true,
    .on_request = true,
    .proposals = [](const ConvTask& task) -> std::vector<std::string> {
      if (!sm90_takes(task)) return {};
      return {"sm90"};
    },
    .make = [](const std::string&, const ConvTask& task, const std::string& name) -> std::unique_ptr<ConvRunner> {
      return name == "sm90" && sm90_takes(task) ? std::make_unique<TensorRunner>(task, true) : nullptr;
    }};

}  // namespace ito
