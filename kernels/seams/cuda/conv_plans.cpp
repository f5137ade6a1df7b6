// SPDX-License-Identifier: Apache-2.0
// Choosing an engine on the card, and the plans made from the choice.
#include "kernels/seams/cuda/conv_plans.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "kernels/nn/conv.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/cuda/trial.h"

namespace ito::cuda {
namespace {

constexpr int kTrialN = 3;

// Runs a candidate on kTrialN images (weight gradient: a chunk of which all but the first are zero) and on one.
bool trial(const Session& session, const ConvKey& key, const EngineChoice& choice) {
  const bool weight = key.direction == Direction::Weight;
  const int many = weight ? images_per_chunk() : kTrialN;
  const Target target = session.target();
  const Plan several(target, conv_graph(target, key, many), choice);
  const Plan one(target, conv_graph(target, key, weight ? many : 1), choice);
  if (!weight) const Plan canonical(target, conv_graph(target, key, kCanonicalN), choice);  // throws or is dropped

  const ConvShape& s = key.shape;
  const int64_t x_count = int64_t{1} * s.h * s.w * s.c, y_count = int64_t{1} * s.out_h() * s.out_w() * s.k;
  const size_t element = size_of(key.type), x_bytes = element * x_count, y_bytes = element * y_count;
  const size_t w_bytes = element * s.weights();
  const int given = weight ? 1 : many;  // images that are not zero
  const int64_t most = std::max({given * x_count, given * y_count, s.weights()});
  const bool true_fp32 = key.type == DType::F32 && !key.holds_bf16;
  static Stream& stream = *new Stream;  // never destroyed: the handle keeps the stream it was given last
  const DeviceBlock wide(sizeof(float) * most), x(many * x_bytes), y(many * y_bytes), w(w_bytes), want(4 * most),
      workspace(std::max(one.workspace(), several.workspace()));
  invent(stream, x.data(), key.type, wide, given * x_count, 1);
  invent(stream, y.data(), key.type, wide, given * y_count, 2);
  invent(stream, w.data(), key.type, wide, s.weights(), 3);
  const auto run = [&](const Plan& plan, int first) {
    plan.execute(session.handle, native_stream(stream),
                 {{kX, x.at(first * x_bytes)}, {kFilters, w.data()}, {kY, y.at(first * y_bytes)}}, workspace.data());
  };
  if (weight) {
    fill_bytes(stream, x.at(x_bytes), 0, (many - 1) * x_bytes);
    fill_bytes(stream, y.at(y_bytes), 0, (many - 1) * y_bytes);
    if (key.holds_bf16) {  // as conv.cpp gives them: bf16 values in fp32
      convert(stream, {wide.data(), DType::BF16}, {x.data(), key.type}, x_count);
      convert(stream, {x.data(), key.type}, {wide.data(), DType::BF16}, x_count);
      convert(stream, {wide.data(), DType::BF16}, {y.data(), key.type}, y_count);
      convert(stream, {y.data(), key.type}, {wide.data(), DType::BF16}, y_count);
    }
    conv_backward_weight(stream, static_cast<float*>(want.data()), {y.data(), key.type}, {x.data(), key.type}, s, 1);
    run(several, 0);
    const std::vector<char> first = fetch(stream, w.data(), w_bytes);
    run(several, 0);
    return first == fetch(stream, w.data(), w_bytes) &&
           same_up_to_rounding(first, fetch(stream, want.data(), w_bytes), key.type, true_fp32);
  }
  const bool forward = key.direction == Direction::Forward;
  const DeviceBlock& result = forward ? y : x;
  const size_t image_bytes = forward ? y_bytes : x_bytes;
  if (forward)
    conv_forward(stream, {want.data(), key.type}, {x.data(), key.type}, {w.data(), key.type}, {}, s, 1);
  else
    conv_backward_data(stream, {want.data(), key.type}, Write::Set, {y.data(), key.type}, {w.data(), key.type}, s, 1);
  run(several, 0);
  const std::vector<char> together = fetch(stream, result.data(), many * image_bytes);
  for (int image = 0; image < many; ++image) {
    fill_bytes(stream, result.at(image * image_bytes), 0xFF, image_bytes);
    run(one, image);
    const std::vector<char> alone = fetch(stream, result.at(image * image_bytes), image_bytes);
    if (memcmp(alone.data(), together.data() + image * image_bytes, image_bytes) != 0) return false;
  }
  const std::vector<char> first(together.begin(), together.begin() + static_cast<int64_t>(image_bytes));
  return same_up_to_rounding(first, fetch(stream, want.data(), image_bytes), key.type, true_fp32);
}

std::shared_ptr<DirectionPlans> choose(Session& session, const ConvKey& key) {
  const int n = key.direction == Direction::Weight ? images_per_chunk() : kCanonicalN;
  std::string refusal = "no engine was proposed";
  try {
    for (EngineChoice& choice : conv_candidates(session.target(), key, n)) {
      try {
        if (trial(session, key, choice)) return std::make_shared<DirectionPlans>(session, key, std::move(choice));
        refusal = choice.name() + " gave other values, or an image's bits changed with its batch";
      } catch (const CudnnError& error) {
        refusal = error.what();
      }
    }
  } catch (const CudnnError& error) {
    refusal = error.what();
  }
  warn("the ", key.text(), " runs on the portable kernel, which uses no tensor cores (", refusal, ")");
  return nullptr;
}

}  // namespace

const Plan& DirectionPlans::plan(const std::string& layer, int n) {
  const auto found = plans_.find(n);
  if (found != plans_.end()) return found->second;
  const AllowCallsInCapture allow;
  try {
    return plans_.emplace(n, Plan(session_.target(), conv_graph(session_.target(), key_, n), choice_)).first->second;
  } catch (const CudnnError& error) {
    fail("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: ", error.what(),
         "; use another batch, or ITO_PORTABLE_KERNELS=1");
  }
}

size_t DirectionPlans::workspace(const std::string& layer, int n) {
  const std::lock_guard lock(session_.mutex);
  return plan(layer, n).workspace();
}

// A plan relies on it, and a GPU faults without it.
static void check_alignment(const std::string& layer, const char* what, const void* pointer, int64_t alignment) {
  ITO_CHECK(reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) == 0, "conv ", layer, ": ", what,
            " at ", pointer, ", expected a multiple of ", alignment, " bytes");
}

void DirectionPlans::run(const std::string& layer, Stream& stream, int n, const void* x, const void* filters,
                         const void* y, void* workspace) {
  const std::lock_guard lock(session_.mutex);
  const Plan& planned = plan(layer, n);
  ITO_CHECK(workspace || planned.workspace() == 0, "conv ", layer, ": ", name_of(key_.direction), " of ", n,
            " images needs a workspace of ", planned.workspace(), " bytes, got none");
  const ConvShape& s = key_.shape;
  check_alignment(layer, "x", x, alignment_of(int64_t{1} * s.h * s.w * s.c, key_.type));
  check_alignment(layer, "y", y, alignment_of(int64_t{1} * s.out_h() * s.out_w() * s.k, key_.type));
  check_alignment(layer, "filters", filters, filters_alignment(key_));
  try {
    planned.execute(session_.handle, native_stream(stream),
                    {{kX, const_cast<void*>(x)}, {kFilters, const_cast<void*>(filters)}, {kY, const_cast<void*>(y)}},
                    workspace);
  } catch (const CudnnError& error) {
    fail("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: ", error.what());
  }
  check_launched(stream, name_of(key_.direction));
}

std::shared_ptr<DirectionPlans> direction_plans(const ConvKey& key) {
  Session* const on = session();
  if (!on) return nullptr;
  // Never destroyed: at exit the driver may be gone before it.
  static auto& chosen = *new std::map<std::string, std::shared_ptr<DirectionPlans>>;
  const std::lock_guard lock(on->mutex);
  const auto [at, is_new] = chosen.try_emplace(key.text());
  if (is_new) {
    try {
      at->second = choose(*on, key);
    } catch (...) {
      chosen.erase(at);
      throw;
    }
  }
  return at->second;
}

}  // namespace ito::cuda
