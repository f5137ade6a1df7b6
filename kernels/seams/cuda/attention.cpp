// SPDX-License-Identifier: Apache-2.0
// Attention on a GPU: matrix products with a row softmax between them (lanes/own_attention.h). With
// ITO_CUDNN_ATTENTION=1 the forward is cuDNN's fused one where that takes the shape (attention_choice.h) and passes a
// trial: the portable kernel's values up to rounding, an image's bits the same alone and among others. It is asked for
// by hand because no run on a card has yet shown its bits and speed.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>

#include "kernels/nn/attention.h"
#include "kernels/seams/cuda/attention_choice.h"
#include "kernels/seams/cuda/session.h"
#include "kernels/seams/lanes/own_attention.h"
#include "kernels/seams/lanes/trial.h"
#include "kernels/seams/ranges.h"

namespace ito {
namespace {

using cuda::EngineChoice;
using cuda::Plan;

constexpr int kTrialN = 3;

bool asked_for() {
  static const bool asked = [] {
    const char* value = getenv("ITO_CUDNN_ATTENTION");
    return value && strcmp(value, "1") == 0;
  }();
  return asked;
}

AttentionShape with_n(AttentionShape shape, int n) {
  shape.n = n;
  return shape;
}

void execute(cudnnHandle_t handle, const Plan& plan, Stream& stream, void* out, float* lse, const void* q,
             const void* k, const void* v, float scale) {
  plan.execute(handle, cuda::native_stream(stream),
               {{cuda::kQuery, const_cast<void*>(q)},
                {cuda::kKey, const_cast<void*>(k)},
                {cuda::kValue, const_cast<void*>(v)},
                {cuda::kOut, out},
                {cuda::kStatistics, lse},
                {cuda::kScale, &scale}},
               nullptr);
}

bool trial(const cuda::Session& on, const AttentionShape& shape, const EngineChoice& choice) {
  const AttentionShape one_shape = with_n(shape, 1), many_shape = with_n(shape, kTrialN);
  const Plan one(on.target(), cuda::attention_graph(on.target(), one_shape), choice);
  const Plan many(on.target(), cuda::attention_graph(on.target(), many_shape), choice);
  if (one.workspace() || many.workspace()) return false;  // the seam gives a forward none
  const int64_t image = int64_t{1} * shape.tokens * shape.heads * shape.head_dim;
  const int64_t rows = int64_t{1} * shape.tokens * shape.heads;
  const size_t bytes = sizeof(bf16) * image, lse_bytes = sizeof(float) * rows;
  Stream stream;
  const DeviceBlock wide(sizeof(float) * kTrialN * image), q(kTrialN * bytes), k(kTrialN * bytes), v(kTrialN * bytes),
      out(kTrialN * bytes), want(bytes), lse(kTrialN * lse_bytes), want_lse(lse_bytes);
  invent(stream, q.data(), DType::BF16, wide, kTrialN * image, 1);
  invent(stream, k.data(), DType::BF16, wide, kTrialN * image, 2);
  invent(stream, v.data(), DType::BF16, wide, kTrialN * image, 3);
  const auto run = [&](const Plan& plan, int first) {
    execute(on.handle, plan, stream, out.at(first * bytes), reinterpret_cast<float*>(lse.at(first * lse_bytes)),
            q.at(first * bytes), k.at(first * bytes), v.at(first * bytes), shape.scale);
  };
  attention_portable_forward(stream, {want.data(), DType::BF16}, static_cast<float*>(want_lse.data()),
                             {q.data(), DType::BF16}, {k.data(), DType::BF16}, {v.data(), DType::BF16}, one_shape);
  run(many, 0);
  const std::vector<char> together = fetch(stream, out.data(), kTrialN * bytes);
  const std::vector<char> lse_together = fetch(stream, lse.data(), kTrialN * lse_bytes);
  for (int i = 0; i < kTrialN; ++i) {
    run(one, i);
    const std::vector<char> alone = fetch(stream, out.at(i * bytes), bytes);
    const std::vector<char> lse_alone = fetch(stream, lse.at(i * lse_bytes), lse_bytes);
    if (memcmp(alone.data(), together.data() + i * bytes, bytes) != 0 ||
        memcmp(lse_alone.data(), lse_together.data() + i * lse_bytes, lse_bytes) != 0)
      return false;
  }
  return same_up_to_rounding(fetch(stream, out.data(), bytes), fetch(stream, want.data(), bytes), DType::BF16, false) &&
         same_up_to_rounding(fetch(stream, lse.data(), lse_bytes), fetch(stream, want_lse.data(), lse_bytes),
                             DType::F32, false);
}

// A shape's engine, whatever n, and its plans.
struct Chosen {
  std::unique_ptr<EngineChoice> choice;  // null: our own
  std::map<int, Plan> plans;
};

std::unique_ptr<EngineChoice> choose(const cuda::Session& on, const AttentionShape& shape) {
  std::string refusal = "no engine was proposed";
  try {
    for (EngineChoice& choice : cuda::attention_candidates(on.target(), with_n(shape, kTrialN))) {
      try {
        if (trial(on, shape, choice)) return std::make_unique<EngineChoice>(std::move(choice));
        refusal = choice.name() + " gave other values, or an image's bits changed with its batch";
      } catch (const cuda::CudnnError& error) {
        refusal = error.what();
      }
    }
  } catch (const cuda::CudnnError& error) {
    refusal = error.what();
  }
  warn("attention of ", shape.tokens, " tokens, ", shape.heads, " heads of ", shape.head_dim,
       " runs on our own kernels (", refusal, ")");
  return nullptr;
}

// Whether the library ran it.
bool library_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                     const AttentionShape& shape) {
  if (!asked_for() || shape.n <= 0 || !cuda::library_attention_takes(shape, out.type)) return false;
  cuda::Session* const on = cuda::session();
  if (!on) return false;
  // Never destroyed: at exit the driver may be gone before it.
  static auto& all = *new std::map<std::tuple<int, int, int>, Chosen>;
  const std::lock_guard lock(on->mutex);
  const cuda::AllowCallsInCapture allow;
  const auto [at, is_new] = all.try_emplace({shape.tokens, shape.heads, shape.head_dim});
  Chosen& chosen = at->second;
  if (is_new) chosen.choice = choose(*on, shape);
  if (!chosen.choice) return false;
  try {
    auto plan = chosen.plans.find(shape.n);
    if (plan == chosen.plans.end())
      plan =
          chosen.plans.emplace(shape.n, Plan(on->target(), cuda::attention_graph(on->target(), shape), *chosen.choice))
              .first;
    ITO_CHECK(plan->second.workspace() == 0, "attention_forward: cuDNN wants a workspace of ", plan->second.workspace(),
              " bytes for ", shape.n, " images; run without ITO_CUDNN_ATTENTION=1");
    const Range range("attention_forward");
    execute(on->handle, plan->second, stream, out.data, lse, q.data, k.data, v.data, shape.scale);
  } catch (const cuda::CudnnError& error) {
    fail("attention_forward: ", shape.n, " images: ", error.what(), "; run without ITO_CUDNN_ATTENTION=1");
  }
  return true;
}

}  // namespace

size_t attention_forward_workspace(const AttentionShape& shape, DType type) {
  return own_attention_forward_workspace(shape, type);
}

void attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                       const AttentionShape& shape, void* workspace) {
  if (!library_forward(stream, out, lse, q, k, v, shape))
    own_attention_forward(stream, out, lse, q, k, v, shape, workspace);
}

size_t attention_backward_workspace(const AttentionShape& shape, DType type) {
  return own_attention_backward_workspace(shape, type);
}

void attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                        const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v, const AttentionShape& shape,
                        void* workspace) {
  own_attention_backward(stream, dq, dk, dv, dout, out, lse, q, k, v, shape, workspace);
}

}  // namespace ito
