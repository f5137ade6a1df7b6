// SPDX-License-Identifier: Apache-2.0
// See conv_trial.h.
#include "kernels/seams/cuda/conv_trial.h"

#include <algorithm>
#include <cstring>

#include "kernels/nn/conv.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/cuda/trial.h"

namespace ito::cuda {
namespace {

constexpr int kInvented = 3;                         // images; larger batches repeat them
constexpr int64_t kMostBytes = int64_t{512} << 20;   // of x and y together
constexpr size_t kFetchedAtOnce = size_t{32} << 20;  // of a result
constexpr const char* kOtherValues = "it gave other values";

struct Sizes {
  int64_t x_count, y_count;  // elements of an image
  size_t x_bytes, y_bytes, w_bytes;
  explicit Sizes(const ConvKey& key)
      : x_count(int64_t{1} * key.shape.h * key.shape.w * key.shape.c),
        y_count(int64_t{1} * key.shape.out_h() * key.shape.out_w() * key.shape.k),
        x_bytes(size_of(key.type) * x_count),
        y_bytes(size_of(key.type) * y_count),
        w_bytes(size_of(key.type) * key.shape.weights()) {}
};

Stream& trial_stream() {
  static Stream& stream =
      *new Stream("trial of engines");  // never destroyed: the handle keeps the stream it was given last
  return stream;
}

bool is_true_fp32(const ConvKey& key) {
  return key.type == DType::F32 && !key.holds_bf16;
}

// Fills the images behind the first `have` with repetitions of those.
void repeat_images(Stream& stream, const DeviceBlock& images, size_t image_bytes, int have, int n) {
  for (; have < n; have *= 2)
    copy_on_device(stream, images.at(have * image_bytes), images.data(),
                   static_cast<size_t>(std::min(have, n - have)) * image_bytes);
}

// Whether image i of the n has the bits of image i % kInvented of `alone`.
bool repeats(Stream& stream, const DeviceBlock& images, size_t image_bytes, int n, const std::vector<char>& alone) {
  const int at_once = static_cast<int>(std::clamp<size_t>(kFetchedAtOnce / image_bytes, 1, static_cast<size_t>(n)));
  for (int first = 0; first < n; first += at_once) {
    const int count = std::min(at_once, n - first);
    const std::vector<char> part = fetch(stream, images.at(first * image_bytes), count * image_bytes);
    for (int i = 0; i < count; ++i)
      if (memcmp(part.data() + i * image_bytes, alone.data() + (first + i) % kInvented * image_bytes, image_bytes) != 0)
        return false;
  }
  return true;
}

// The batches that are tried: a few images, a usual batch, twice that.
std::vector<int> trial_batches(const Sizes& sizes) {
  const auto fit = kMostBytes / static_cast<int64_t>(sizes.x_bytes + sizes.y_bytes);
  const int usual = static_cast<int>(std::min<int64_t>(canonical_n(), fit / 2));
  if (usual <= kInvented) return {kInvented};
  return {kInvented, usual, 2 * usual};
}

std::string try_images(const Session& session, const ConvKey& key, const EngineChoice& choice) {
  const Sizes sizes(key);
  const std::vector<int> batches = trial_batches(sizes);
  const int most = batches.back();
  const Plan one(session.target(), conv_graph(session.target(), key, 1), choice);
  std::vector<Plan> plans;
  size_t workspace_bytes = one.workspace();
  for (const int n : batches) {
    plans.emplace_back(session.target(), conv_graph(session.target(), key, n), choice);
    workspace_bytes = std::max(workspace_bytes, plans.back().workspace());
  }
  Stream& stream = trial_stream();
  const bool forward = key.direction == Direction::Forward;
  const int64_t given_count = forward ? sizes.x_count : sizes.y_count;
  const size_t given_bytes = forward ? sizes.x_bytes : sizes.y_bytes;
  const size_t result_bytes = forward ? sizes.y_bytes : sizes.x_bytes;
  const DeviceBlock given(most * given_bytes), result(most * result_bytes), w(sizes.w_bytes), want(result_bytes),
      wide(sizeof(float) * std::max(kInvented * given_count, key.shape.weights())), workspace(workspace_bytes);
  invent(stream, given.data(), key.type, wide, kInvented * given_count, 1);
  invent(stream, w.data(), key.type, wide, key.shape.weights(), 3);
  const auto run = [&](const Plan& plan, int first) {
    const std::pair<int64_t, void*> in{forward ? kX : kY, given.at(first * given_bytes)};
    const std::pair<int64_t, void*> out{forward ? kY : kX, result.at(first * result_bytes)};
    plan.execute(session.handle, native_stream(stream), {in, {kFilters, w.data()}, out}, workspace.data());
  };
  const DataRef to(want.data(), key.type), from(given.data(), key.type), filters(w.data(), key.type);
  if (forward)
    conv_forward(stream, to, from, filters, {}, key.shape, 1);
  else
    conv_backward_data(stream, to, Write::Set, from, filters, key.shape, 1);

  fill_bytes(stream, result.data(), 0xFF, kInvented * result_bytes);
  for (int image = 0; image < kInvented; ++image) run(one, image);
  const std::vector<char> alone = fetch(stream, result.data(), kInvented * result_bytes);
  const std::vector<char> first(alone.begin(), alone.begin() + static_cast<int64_t>(result_bytes));
  if (!same_up_to_rounding(first, fetch(stream, want.data(), result_bytes), key.type, is_true_fp32(key)))
    return kOtherValues;
  repeat_images(stream, given, given_bytes, kInvented, most);
  for (size_t i = 0; i < batches.size(); ++i) {
    fill_bytes(stream, result.data(), 0xFF, batches[i] * result_bytes);
    run(plans[i], 0);
    if (!repeats(stream, result, result_bytes, batches[i], alone))
      return join_text("an image's bits among ", batches[i], " are not those it has alone");
  }
  return "";
}

// A chunk of images of which all but the first are zero.
std::string try_weight(const Session& session, const ConvKey& key, const EngineChoice& choice) {
  const Sizes sizes(key);
  const int chunk = images_per_chunk();
  const Plan plan(session.target(), conv_graph(session.target(), key, chunk), choice);
  Stream& stream = trial_stream();
  const DeviceBlock wide(sizeof(float) * std::max(sizes.x_count, sizes.y_count)), x(chunk * sizes.x_bytes),
      y(chunk * sizes.y_bytes), w(sizes.w_bytes), want(sizes.w_bytes), workspace(plan.workspace());
  for (const auto& [images, count, seed] : {std::tuple{&x, sizes.x_count, 1u}, {&y, sizes.y_count, 2u}}) {
    const size_t bytes = size_of(key.type) * count;
    invent(stream, images->data(), key.type, wide, count, seed);
    if (key.holds_bf16) {  // as conv.cpp gives them: bf16 values in fp32
      convert(stream, {wide.data(), DType::BF16}, {images->data(), key.type}, count);
      convert(stream, {images->data(), key.type}, {wide.data(), DType::BF16}, count);
    }
    fill_bytes(stream, images->at(bytes), 0, (chunk - 1) * bytes);
  }
  conv_backward_weight(stream, static_cast<float*>(want.data()), {y.data(), key.type}, {x.data(), key.type}, key.shape,
                       1);
  const auto result = [&] {
    plan.execute(session.handle, native_stream(stream), {{kX, x.data()}, {kFilters, w.data()}, {kY, y.data()}},
                 workspace.data());
    return fetch(stream, w.data(), sizes.w_bytes);
  };
  const std::vector<char> first = result();
  if (first != result()) return "a second run gave other bits";
  return same_up_to_rounding(first, fetch(stream, want.data(), sizes.w_bytes), key.type, is_true_fp32(key))
             ? ""
             : kOtherValues;
}

}  // namespace

std::string try_engine(const Session& session, const ConvKey& key, const EngineChoice& choice) {
  return key.direction == Direction::Weight ? try_weight(session, key, choice) : try_images(session, key, choice);
}

}  // namespace ito::cuda
