// SPDX-License-Identifier: Apache-2.0
// See sm80_conv.h. Bias, residual and scale are taken into the product's last step; a bias gradient into the pass over
// dy that the filters' gradient makes.
#include "kernels/seams/lanes/sm80_conv.h"

#include "kernels/nn/conv_sm80.h"

namespace ito {
namespace {

bool takes(const ConvTask& task) {
  return task.type == DType::BF16 && !conv_sm80_refusal({task.shape});
}

const bf16* as_bf16(ConstDataRef data) {
  return static_cast<const bf16*>(data.data);
}

class Sm80Runner : public ConvRunner {
 public:
  explicit Sm80Runner(const ConvTask& task) : direction_(task.direction), shape_{task.shape} {}
  std::string name() const override { return kSm80Conv.name; }
  int channel_multiple() const override { return 8; }
  size_t workspace(int n) override {
    return direction_ == ConvDirection::Weight ? conv_sm80_backward_weight_workspace(shape_, n) : 0;
  }
  void run(Stream& stream, const ConvCall& call) override {
    const ConvSm80Input input{.x = as_bf16(call.x)};
    bf16* result = static_cast<bf16*>(call.result.data);
    switch (direction_) {
      case ConvDirection::Forward: {
        const ConvEpilogue& e = call.epilogue;
        const ConvSm80Epilogue epilogue{.bias = e.bias, .residual = as_bf16(e.residual), .scale = e.scale};
        return conv_sm80_forward(stream, result, input, as_bf16(call.filters), epilogue, shape_, call.n);
      }
      case ConvDirection::Data:
        return conv_sm80_backward_data(stream, {.dx = result, .write = call.write}, as_bf16(call.dy),
                                       as_bf16(call.filters), shape_, call.n);
      case ConvDirection::Weight:
        return conv_sm80_backward_weight(stream, {.dweight = call.dweight, .dbias = call.dbias}, as_bf16(call.dy),
                                         input, shape_, call.n, call.workspace);
    }
  }

 private:
  ConvDirection direction_;
  ConvSm80Shape shape_;
};

}  // namespace

const ConvFamily kSm80Conv{
    .name = "sm80",
    .tried = true,
    .proposals = [](const ConvTask& task) -> std::vector<std::string> {
      if (!takes(task)) return {};
      return {"sm80"};
    },
    .make = [](const std::string&, const ConvTask& task, const std::string& name) -> std::unique_ptr<ConvRunner> {
      return takes(task) && name == "sm80" ? std::make_unique<Sm80Runner>(task) : nullptr;
    }};

}  // namespace ito
