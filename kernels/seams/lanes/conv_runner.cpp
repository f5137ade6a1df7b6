// SPDX-License-Identifier: Apache-2.0
// The family that takes every task: the portable kernels, without tensor cores.
#include "kernels/seams/lanes/conv_runner.h"

#include "kernels/nn/conv.h"

namespace ito {
namespace {

class PortableRunner : public ConvRunner {
 public:
  explicit PortableRunner(const ConvTask& task) : task_(task) {}
  std::string name() const override { return kPortableConv.name; }
  size_t workspace(int n) override {
    return task_.direction == ConvDirection::Weight ? weight_partials_bytes(task_.shape, n) : 0;
  }
  void run(Stream& stream, const ConvCall& call) override {
    const ConvShape& s = task_.shape;
    switch (task_.direction) {
      case ConvDirection::Forward:
        return conv_forward(stream, call.result, call.x, call.filters, call.epilogue, s, call.n);
      case ConvDirection::Data:
        return conv_backward_data(stream, call.result, call.write, call.dy, call.filters, s, call.n);
      case ConvDirection::Weight:
        return join_weight_partials(stream, s, call, [&](float* partial) {
          conv_backward_weight(stream, partial, call.dy, call.x, s, call.n);
        });
    }
  }

 private:
  ConvTask task_;
};

}  // namespace

const char* name_of(ConvDirection direction) {
  return direction == ConvDirection::Forward ? "forward"
         : direction == ConvDirection::Data  ? "data gradient"
                                             : "weight gradient";
}

std::string text_of(const ConvTask& task) {
  const ConvShape& s = task.shape;
  return join_text(name_of(task.direction), " ", s.h, "x", s.w, "x", s.c, " to ", s.k, ", filters ", s.r, "x", s.s,
                   ", stride ", s.stride, ", padding ", s.pad_top, " ", s.pad_left, " ", s.pad_bottom, " ", s.pad_right,
                   ", ", name_of(task.type));
}

// Partials of the filters (chunks, K, R, S, C), then of the bias (chunks, K).
size_t weight_partials_bytes(const ConvShape& shape, int n) {
  return sizeof(float) * ceil_div(n, images_per_chunk()) * (shape.weights() + shape.k);
}

const ConvFamily kPortableConv{
    .name = "portable",
    .tried = false,
    .proposals = [](const ConvTask&) -> std::vector<std::string> { return {"portable"}; },
    .make = [](const std::string&, const ConvTask& task, const std::string& name) -> std::unique_ptr<ConvRunner> {
      return name == "portable" ? std::make_unique<PortableRunner>(task) : nullptr;
    }};

}  // namespace ito
