// SPDX-License-Identifier: Apache-2.0
// See conv_block_trial.h. What is compared with is the block apart, on the portable kernels.
#include "kernels/seams/lanes/conv_block_trial.h"

#include <algorithm>

#include "kernels/nn/concat.h"
#include "kernels/nn/conv.h"
#include "kernels/nn/pack_filters.h"
#include "kernels/nn/resample.h"
#include "kernels/seams/lanes/conv_runner.h"
#include "kernels/seams/lanes/time_launches.h"
#include "kernels/seams/lanes/trial.h"

namespace ito {
namespace {

constexpr int kInvented = 3;  // images

// A block's tensors, n images of invented values, and its results.
struct Trial {
  ConvBlockShape shape;
  ConvShape shortcut;
  DType type;
  int n;
  int64_t x_count, u_count, y_count, a_count, b_count;  // elements an image; of the shortcut's two inputs
  DeviceBlock wide, x, y, du, a, b, da, db, dy, w, v, bias, dw, dv, dbias, packed, workspace;

  Trial(Stream& stream, const ConvBlockShape& s, DType t, ConvBlock& block, int images)
      : shape(s),
        shortcut(shortcut_of(s)),
        type(t),
        n(images),
        x_count(x_elements(s.conv) / (s.upsampled ? 4 : 1)),
        u_count(x_elements(s.conv)),
        y_count(y_elements(s.conv)),
        a_count(pixels() * (s.shortcut_first_c ? s.shortcut_first_c : s.shortcut_c)),
        b_count(pixels() * s.shortcut_c - a_count),
        wide(sizeof(float) *
             std::max({n * std::max({u_count, y_count, a_count, b_count}), s.conv.weights(), shortcut.weights()})),
        x(bytes(x_count)),
        y(bytes(y_count)),
        du(bytes(u_count)),
        a(bytes(a_count)),
        b(bytes(b_count)),
        da(bytes(a_count)),
        db(bytes(b_count)),
        dy(bytes(y_count)),
        w(sizeof(float) * s.conv.weights()),
        v(sizeof(float) * shortcut.weights()),
        bias(sizeof(float) * s.conv.k),
        dw(sizeof(float) * s.conv.weights()),
        dv(sizeof(float) * shortcut.weights()),
        dbias(sizeof(float) * s.conv.k),
        packed(block.packed_bytes()),
        workspace(block.backward_weight_workspace(n)) {
    const auto fill = [&](const DeviceBlock& to, DType as, int64_t count, uint32_t seed) {
      if (count) invent(stream, to.data(), as, wide, count, seed);
    };
    fill(x, type, n * x_count, 1);
    fill(a, type, n * a_count, 2);
    fill(b, type, n * b_count, 3);
    fill(dy, type, n * y_count, 4);
    fill(w, DType::F32, s.conv.weights(), 5);
    fill(v, DType::F32, shortcut.weights(), 6);
    fill(bias, DType::F32, s.conv.k, 7);
    block.bind(packed.data());
    block.pack(stream,
               {floats(w), floats(bias), s.shortcut_c ? floats(v) : nullptr, s.shortcut_c ? floats(bias) : nullptr});
  }

  int64_t pixels() const { return int64_t{1} * shape.conv.out_h() * shape.conv.out_w(); }
  size_t bytes(int64_t count) const { return size_of(type) * static_cast<size_t>(n * count); }
  static float* floats(const DeviceBlock& block) { return static_cast<float*>(block.data()); }
  DataRef at(const DeviceBlock& block, int64_t count, int image = 0) const {
    return {count ? block.at(size_of(type) * static_cast<size_t>(image * count)) : nullptr, type};
  }

  void forward(Stream& stream, ConvBlock& block, int image, int images) const {
    block.forward(stream, at(y, y_count, image), at(x, x_count, image), {at(a, a_count, image), at(b, b_count, image)},
                  1.0f, nullptr, images);
  }
  void gradients_of_images(Stream& stream, ConvBlock& block, int image, int images) const {
    block.backward_data(stream, at(du, u_count, image), Write::Set, at(dy, y_count, image), images);
    if (a_count)
      block.backward_shortcut(stream, {at(da, a_count, image), at(db, b_count, image)}, at(dy, y_count, image), images);
  }
  void gradients_of_weights(Stream& stream, ConvBlock& block, int images) const {
    block.backward_weight(stream, {floats(dw), floats(dbias), a_count ? floats(dv) : nullptr, nullptr}, at(dy, y_count),
                          at(x, x_count), {at(a, a_count), at(b, b_count)}, images, workspace.data());
  }

  struct Result {
    const DeviceBlock* block;
    int64_t count;  // of an image; of all, where it is fp32
    DType type;
  };
  std::vector<Result> of_images() const {
    return {{&y, y_count, type}, {&du, u_count, type}, {&da, a_count, type}, {&db, b_count, type}};
  }
  std::vector<Result> of_weights() const {
    return {{&dw, shape.conv.weights(), DType::F32},
            {&dv, shortcut.weights(), DType::F32},
            {&dbias, shape.conv.k, DType::F32}};
  }
  std::vector<char> fetched(Stream& stream, const Result& r, int image) const {
    const size_t size = size_of(r.type) * static_cast<size_t>(r.count);
    return r.count ? fetch(stream, r.block->at(image * size), size) : std::vector<char>();
  }
};

// Image 0 of a trial apart, into its own results.
void run_apart(Stream& stream, const Trial& t) {
  const ConvShape &c = t.shape.conv, &s = t.shortcut;
  const auto of = [&](int64_t count) { return DeviceBlock(size_of(t.type) * static_cast<size_t>(count)); };
  const DeviceBlock w = of(c.weights()), v = of(s.weights()), u = of(t.u_count), both = of(t.a_count + t.b_count),
                    dboth = of(t.a_count + t.b_count), side = of(t.y_count), partials(weight_partials_bytes(c, 1)),
                    shortcut_partials(weight_partials_bytes(s, 1));
  const auto ref = [&](const DeviceBlock& block) { return DataRef(block.data(), t.type); };
  const ConstDataRef dy = t.at(t.dy, t.y_count);
  pack_filters(stream, ref(w), t.floats(t.w), int64_t{1} * c.k * c.r * c.s, c.c, c.c);
  ConstDataRef x = t.at(t.x, t.x_count), joined = t.at(t.a, t.a_count);
  if (t.shape.upsampled) {
    upsample_nearest(stream, ref(u), x, 1, c.h / 2, c.w / 2, c.c, c.h, c.w);
    x = ref(u);
  }
  const int ca = t.shape.shortcut_first_c, cb = t.shape.shortcut_c - ca;
  if (ca) {
    concat_channels(stream, ref(both), joined, t.at(t.b, t.b_count), t.pixels(), ca, cb);
    joined = ref(both);
  }
  ConvEpilogue epilogue{.bias = t.floats(t.bias)};
  if (t.a_count) {
    pack_filters(stream, ref(v), t.floats(t.v), s.k, s.c, s.c);
    conv_forward(stream, ref(side), joined, ref(v), epilogue, s, 1);
    epilogue.residual = ref(side);
    const DataRef djoined = ca ? ref(dboth) : t.at(t.da, t.a_count);
    conv_backward_data(stream, djoined, Write::Set, dy, ref(v), s, 1);
    if (ca)
      split_channels(stream, t.at(t.da, t.a_count), Write::Set, t.at(t.db, t.b_count), Write::Set, djoined, t.pixels(),
                     ca, cb);
    const ConvCall call{
        .x = joined, .dy = dy, .dweight = t.floats(t.dv), .n = 1, .workspace = shortcut_partials.data()};
    join_weight_partials(stream, s, call, [&](float* to) { conv_backward_weight(stream, to, dy, joined, s, 1); });
  }
  conv_forward(stream, t.at(t.y, t.y_count), x, ref(w), epilogue, c, 1);
  conv_backward_data(stream, t.at(t.du, t.u_count), Write::Set, dy, ref(w), c, 1);
  const ConvCall call{
      .x = x, .dy = dy, .dweight = t.floats(t.dw), .dbias = t.floats(t.dbias), .n = 1, .workspace = partials.data()};
  join_weight_partials(stream, c, call, [&](float* to) { conv_backward_weight(stream, to, dy, x, c, 1); });
  stream.synchronize();  // the memory goes
}

}  // namespace

std::string try_conv_block(const ConvBlockShape& shape, DType type, ConvBlock& block) {
  Stream stream("trial of kernels");
  const Trial t(stream, shape, type, block, kInvented);
  run_apart(stream, t);
  std::vector<std::vector<char>> want, alone;
  for (const Trial::Result& r : t.of_images()) want.push_back(t.fetched(stream, r, 0));
  for (const Trial::Result& r : t.of_weights()) want.push_back(t.fetched(stream, r, 0));
  for (const std::vector<Trial::Result>& all : {t.of_images(), t.of_weights()})
    for (const Trial::Result& r : all)
      if (r.count) fill_bytes(stream, r.block->data(), 0xFF, size_of(r.type) * static_cast<size_t>(r.count));

  for (int image = 0; image < kInvented; ++image) {
    t.forward(stream, block, image, 1);
    t.gradients_of_images(stream, block, image, 1);
  }
  t.gradients_of_weights(stream, block, 1);
  for (int image = 0; image < kInvented; ++image)
    for (const Trial::Result& r : t.of_images()) alone.push_back(t.fetched(stream, r, image));
  std::vector<std::vector<char>> got(alone.begin(), alone.begin() + 4);
  for (const Trial::Result& r : t.of_weights()) got.push_back(t.fetched(stream, r, 0));
  for (size_t i = 0; i < want.size(); ++i)
    if (!same_up_to_rounding(got[i], want[i], i < 4 ? type : DType::F32, false))
      return i < 1 ? "it gave other values" : "it gave other gradients";

  t.forward(stream, block, 0, kInvented);
  t.gradients_of_images(stream, block, 0, kInvented);
  std::vector<std::vector<char>> together;
  for (int image = 0; image < kInvented; ++image)
    for (const Trial::Result& r : t.of_images()) together.push_back(t.fetched(stream, r, image));
  return together == alone ? "" : "an image's bits among others are not those it has alone";
}

double time_block(const ConvBlockShape& shape, DType type, ConvBlock& block, bool gradients, int n) {
  Stream stream("trial of kernels");
  const Trial t(stream, shape, type, block, n);
  return time_launches(stream, [&] {
    t.forward(stream, block, 0, n);
    if (!gradients) return;
    t.gradients_of_images(stream, block, 0, n);
    t.gradients_of_weights(stream, block, n);
  });
}

}  // namespace ito
