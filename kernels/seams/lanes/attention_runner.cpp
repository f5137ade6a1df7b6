// SPDX-License-Identifier: Apache-2.0
// The family that takes every task, and the trial.
#include "kernels/seams/lanes/attention_runner.h"

#include <cmath>
#include <cstring>

#include "kernels/nn/attention.h"
#include "kernels/seams/lanes/own_attention.h"
#include "kernels/seams/lanes/time_launches.h"
#include "kernels/seams/lanes/trial.h"

namespace ito {
namespace {

constexpr int kTrialN = 3;

class ProductsRunner : public AttentionRunner {
 public:
  explicit ProductsRunner(const AttentionTask& task) : task_(task) {}
  std::string name() const override { return kProductsAttention.name; }
  size_t workspace(const AttentionShape& shape) override {
    return task_.pass == AttentionPass::Forward ? own_attention_forward_workspace(shape, task_.type)
                                                : own_attention_backward_workspace(shape, task_.type);
  }
  void run(Stream& stream, const AttentionCall& c) override {
    if (task_.pass == AttentionPass::Forward)
      own_attention_forward(stream, c.out, c.lse, c.q, c.k, c.v, c.shape, c.workspace);
    else
      own_attention_backward(stream, c.dq, c.dk, c.dv, c.dout, c.out, c.lse, c.q, c.k, c.v, c.shape, c.workspace);
  }

 private:
  AttentionTask task_;
};

// Invented tensors of n images, and the portable forward's results, which a backward reads.
struct Invented {
  AttentionTask task;
  int n;
  size_t image_bytes, lse_bytes;  // of an image
  DeviceBlock q, k, v, dout, out, lse, dq, dk, dv;

  Invented(Stream& stream, const AttentionTask& t, int n_)
      : task(t),
        n(n_),
        image_bytes(size_of(t.type) * elements(t)),
        lse_bytes(sizeof(float) * t.tokens * t.heads),
        q(n * image_bytes),
        k(n * image_bytes),
        v(n * image_bytes),
        dout(n * image_bytes),
        out(n * image_bytes),
        lse(n * lse_bytes),
        dq(n * image_bytes),
        dk(n * image_bytes),
        dv(n * image_bytes) {
    const DeviceBlock wide(sizeof(float) * n * elements(t));
    uint32_t seed = 0;
    for (const DeviceBlock* block : {&q, &k, &v, &dout})
      invent(stream, block->data(), t.type, wide, n * elements(t), ++seed);
    const AttentionShape shape = shape_of(t, n);
    attention_portable_forward(stream, {out.data(), t.type}, static_cast<float*>(lse.data()), {q.data(), t.type},
                               {k.data(), t.type}, {v.data(), t.type}, shape);
    stream.synchronize();  // `wide` goes
  }
  static int64_t elements(const AttentionTask& t) { return int64_t{1} * t.tokens * t.heads * t.head_dim; }

  // Of images first to first + count.
  AttentionCall call(int first, int count, void* workspace) const {
    const auto data = [&](const DeviceBlock& block) { return DataRef(block.at(first * image_bytes), task.type); };
    AttentionCall c{.out = data(out), .dq = data(dq), .dk = data(dk), .dv = data(dv)};
    c.q = data(q);
    c.k = data(k);
    c.v = data(v);
    c.dout = data(dout);
    c.lse = reinterpret_cast<float*>(lse.at(first * lse_bytes));
    c.shape = shape_of(task, count);
    c.workspace = workspace;
    return c;
  }
  // What the pass writes of an image, in order.
  std::vector<std::vector<char>> results(Stream& stream, int image) const {
    std::vector<std::vector<char>> all;
    const auto add = [&](const DeviceBlock& block, size_t bytes) {
      all.push_back(fetch(stream, block.at(image * bytes), bytes));
    };
    if (task.pass == AttentionPass::Forward) {
      add(out, image_bytes);
      add(lse, lse_bytes);
    } else {
      add(dq, image_bytes);
      add(dk, image_bytes);
      add(dv, image_bytes);
    }
    return all;
  }
  void spoil(Stream& stream) const {
    if (task.pass == AttentionPass::Forward) {
      fill_bytes(stream, out.data(), 0xFF, n * image_bytes);
      fill_bytes(stream, lse.data(), 0xFF, n * lse_bytes);
    } else {
      for (const DeviceBlock* block : {&dq, &dk, &dv}) fill_bytes(stream, block->data(), 0xFF, n * image_bytes);
    }
  }
};

}  // namespace

std::string text_of(const AttentionTask& t) {
  return join_text("attention ", t.pass == AttentionPass::Forward ? "forward" : "backward", ", ", t.tokens, " tokens, ",
                   t.heads, " heads of ", t.head_dim, ", ", name_of(t.type));
}

AttentionShape shape_of(const AttentionTask& t, int n) {
  return {n, t.tokens, t.heads, t.head_dim, 1.0f / std::sqrt(static_cast<float>(t.head_dim))};
}

std::string try_attention(const AttentionTask& task, AttentionRunner& runner) {
  Stream stream("trial of kernels");
  const Invented data(stream, task, kTrialN);
  std::vector<std::vector<char>> want;
  if (task.pass == AttentionPass::Backward) {
    const AttentionCall c = data.call(0, 1, nullptr);
    const DeviceBlock workspace(attention_portable_workspace(c.shape));
    attention_portable_backward(stream, c.dq, c.dk, c.dv, c.dout, c.out, c.lse, c.q, c.k, c.v, c.shape,
                                workspace.data());
    stream.synchronize();
  }
  want = data.results(stream, 0);
  const DeviceBlock workspace(std::max(runner.workspace(shape_of(task, 1)), runner.workspace(shape_of(task, kTrialN))));
  data.spoil(stream);
  runner.run(stream, data.call(0, kTrialN, workspace.data()));
  std::vector<std::vector<std::vector<char>>> together;
  for (int image = 0; image < kTrialN; ++image) together.push_back(data.results(stream, image));
  for (size_t i = 0; i < want.size(); ++i) {
    const bool lse = task.pass == AttentionPass::Forward && i == 1;
    if (!same_up_to_rounding(together[0][i], want[i], lse ? DType::F32 : task.type, task.type == DType::F32))
      return "it gave other values";
  }
  for (int image = 0; image < kTrialN; ++image) {
    runner.run(stream, data.call(image, 1, workspace.data()));
    if (data.results(stream, image) != together[image]) return "an image's bits alone are not those among others";
  }
  return "";
}

double time_attention(const AttentionTask& task, AttentionRunner& runner, int n) {
  Stream stream("trial of kernels");
  const Invented data(stream, task, n);
  const DeviceBlock workspace(runner.workspace(shape_of(task, n)));
  const AttentionCall call = data.call(0, n, workspace.data());
  return time_launches(stream, [&] { runner.run(stream, call); });
}

const AttentionFamily kProductsAttention{
    .name = "products",
    .tried = false,
    .proposals = [](const AttentionTask&) -> std::vector<std::string> { return {"products"}; },
    .make = [](const AttentionTask& task, const std::string& name) -> std::unique_ptr<AttentionRunner> {
      return name == "products" ? std::make_unique<ProductsRunner>(task) : nullptr;
    }};

}  // namespace ito
