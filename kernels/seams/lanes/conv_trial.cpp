// SPDX-License-Identifier: Apache-2.0
// See conv_trial.h.
#include "kernels/seams/lanes/conv_trial.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/nn/pack_filters.h"
#include "kernels/seams/lanes/time_launches.h"
#include "kernels/seams/lanes/trial.h"

namespace ito {
namespace {

constexpr int kInvented = 3;                         // images; larger batches repeat them
constexpr int64_t kMostBytes = int64_t{512} << 20;   // of x, y and a residual together
constexpr size_t kFetchedAtOnce = size_t{32} << 20;  // of a result
constexpr const char* kOtherValues = "it gave other values";

Stream& trial_stream() {
  static Stream& stream =
      *new Stream("trial of kernels");  // never destroyed: a library's handle keeps the stream it was given last
  return stream;
}

// Invented filters as a runner and as the portable kernel read them.
struct Filters {
  DeviceBlock packed, plain;
  Filters(Stream& stream, const ConvTask& task, const ConvRunner& runner)
      : packed(size_of(task.type) * elements(task, runner.channel_multiple())),
        plain(size_of(task.type) * task.shape.weights()) {
    const ConvShape& s = task.shape;
    const DeviceBlock masters(sizeof(float) * s.weights()), wide(sizeof(float) * s.weights());
    invent(stream, masters.data(), DType::F32, wide, s.weights(), 3);
    const auto pack = [&](const DeviceBlock& to, int multiple) {
      pack_filters(stream, {to.data(), task.type}, static_cast<const float*>(masters.data()),
                   int64_t{1} * s.k * s.r * s.s, s.c, padded_channels(s, multiple));
    };
    pack(packed, runner.channel_multiple());
    pack(plain, 1);
    stream.synchronize();  // the masters go
  }
  static int64_t elements(const ConvTask& task, int multiple) { return filter_elements(task.shape, multiple); }
};

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
std::vector<int> trial_batches(size_t bytes_an_image) {
  const auto fit = kMostBytes / static_cast<int64_t>(bytes_an_image);
  const int usual = static_cast<int>(std::min<int64_t>(usual_images(), fit / 2));
  if (usual <= kInvented) return {kInvented};
  return {kInvented, usual, 2 * usual};
}

// Whether moments are those of an image's values, as fp32 sums about a mean are: far within 2^-12 of the largest.
bool are_moments(const std::vector<char>& moments_bytes, int rows, const std::vector<char>& image,
                 const ConvTask& task) {
  const std::vector<float> moments = as_floats(moments_bytes, DType::F32), y = as_floats(image, task.type);
  const int64_t k = task.shape.k, run = y_elements(task.shape) / k / rows;
  double mean_most = 0, mean_off = 0, squares_most = 0, squares_off = 0;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < k; ++c) {
      const auto at = [&](int64_t i) { return double{y[(row * run + i) * k + c]}; };
      double mean = 0, squares = 0;
      for (int64_t i = 0; i < run; ++i) mean += at(i) / static_cast<double>(run);
      for (int64_t i = 0; i < run; ++i) squares += (at(i) - mean) * (at(i) - mean);
      const float* got = &moments[2 * (row * k + c)];
      if (!std::isfinite(got[0]) || !std::isfinite(got[1])) return false;
      mean_most = std::max(mean_most, std::abs(mean));
      mean_off = std::max(mean_off, std::abs(got[0] - mean));
      squares_most = std::max(squares_most, squares);
      squares_off = std::max(squares_off, std::abs(got[1] - squares));
    }
  return mean_off <= mean_most * 0x1p-12 && squares_off <= squares_most * 0x1p-12;
}

std::string try_images(const ConvTask& task, ConvRunner& runner) {
  const ConvShape& s = task.shape;
  const bool forward = task.direction == ConvDirection::Forward;
  const int64_t given_count = forward ? x_elements(s) : y_elements(s);
  const int64_t result_count = forward ? y_elements(s) : x_elements(s);
  const size_t given_bytes = size_of(task.type) * given_count, result_bytes = size_of(task.type) * result_count;
  const size_t residual_bytes = forward ? result_bytes : 0;
  const int rows = runner.moment_rows();
  const size_t moment_bytes = sizeof(float) * 2 * rows * s.k;
  const std::vector<int> batches = trial_batches(given_bytes + result_bytes + residual_bytes + moment_bytes);
  const int most = batches.back();
  size_t workspace_bytes = runner.workspace(1);
  for (const int n : batches) workspace_bytes = std::max(workspace_bytes, runner.workspace(n));

  Stream& stream = trial_stream();
  const DeviceBlock given(most * given_bytes), result(most * result_bytes), residual(most * residual_bytes),
      moments(most * moment_bytes), bias(sizeof(float) * s.k), want(result_bytes), workspace(workspace_bytes),
      wide(sizeof(float) * std::max<int64_t>({kInvented * given_count, kInvented * result_count, s.k}));
  const Filters filters(stream, task, runner);
  invent(stream, given.data(), task.type, wide, kInvented * given_count, 1);
  invent(stream, bias.data(), DType::F32, wide, s.k, 5);
  if (forward) invent(stream, residual.data(), task.type, wide, kInvented * result_count, 7);

  const auto run = [&](int first, int n) {
    ConvCall call{.filters = {filters.packed.data(), task.type},
                  .result = {result.at(first * result_bytes), task.type},
                  .n = n,
                  .workspace = workspace.data()};
    (forward ? call.x : call.dy) = {given.at(first * given_bytes), task.type};
    if (forward)
      call.epilogue = {static_cast<const float*>(bias.data()),
                       {residual.at(first * residual_bytes), task.type},
                       1.0f,
                       rows ? reinterpret_cast<float*>(moments.at(first * moment_bytes)) : nullptr};
    runner.run(stream, call);
  };
  ConvCall portable{.filters = {filters.plain.data(), task.type}, .result = {want.data(), task.type}, .n = 1};
  (forward ? portable.x : portable.dy) = {given.data(), task.type};
  if (forward) portable.epilogue = {static_cast<const float*>(bias.data()), {residual.data(), task.type}, 1.0f};
  kPortableConv.make("trial", task, kPortableConv.name)->run(stream, portable);

  fill_bytes(stream, result.data(), 0xFF, kInvented * result_bytes);
  for (int image = 0; image < kInvented; ++image) run(image, 1);
  const std::vector<char> alone = fetch(stream, result.data(), kInvented * result_bytes);
  const std::vector<char> first(alone.begin(), alone.begin() + static_cast<int64_t>(result_bytes));
  if (!same_up_to_rounding(first, fetch(stream, want.data(), result_bytes), task.type, task.type == DType::F32))
    return kOtherValues;
  const std::vector<char> alone_moments = fetch(stream, moments.data(), kInvented * moment_bytes);
  if (rows && !are_moments(alone_moments, rows, first, task)) return "it gave other moments";
  repeat_images(stream, given, given_bytes, kInvented, most);
  if (forward) repeat_images(stream, residual, residual_bytes, kInvented, most);
  for (const int n : batches) {
    fill_bytes(stream, result.data(), 0xFF, n * result_bytes);
    run(0, n);
    if (!repeats(stream, result, result_bytes, n, alone) ||
        (rows && !repeats(stream, moments, moment_bytes, n, alone_moments)))
      return join_text("an image's bits among ", n, " are not those it has alone");
  }
  return "";
}

// A data gradient that takes a norm in: silu'(z) times the gradient without it, the sums of that over rows of pixels,
// and an image's bits alone and among others.
std::string try_norm(const ConvTask& task, ConvRunner& runner) {
  const ConvShape& s = task.shape;
  const int64_t dy_count = y_elements(s), dx_count = x_elements(s), pixels = int64_t{1} * s.h * s.w;
  const int rows = runner.norm_rows();
  const size_t dx_bytes = size_of(task.type) * dx_count, sum_bytes = sizeof(float) * 3 * rows * s.c;
  Stream& stream = trial_stream();
  const DeviceBlock dy(size_of(task.type) * kInvented * dy_count), x(kInvented * dx_bytes), dx(kInvented * dx_bytes),
      chain(sizeof(float) * kInvented * 3 * s.c), sums(kInvented * sum_bytes), workspace(runner.workspace(kInvented)),
      wide(sizeof(float) * kInvented * std::max({dy_count, dx_count, int64_t{3} * s.c}));
  const Filters filters(stream, task, runner);
  invent(stream, dy.data(), task.type, wide, kInvented * dy_count, 1);
  invent(stream, x.data(), task.type, wide, kInvented * dx_count, 2);
  invent(stream, chain.data(), DType::F32, wide, int64_t{kInvented} * 3 * s.c, 3);
  const auto run = [&](int first, int n, bool with_norm) {
    ConvCall call{.dy = {dy.at(first * size_of(task.type) * dy_count), task.type},
                  .filters = {filters.packed.data(), task.type},
                  .result = {dx.at(first * dx_bytes), task.type}};
    call.n = n;
    call.workspace = workspace.data();
    if (with_norm)
      call.norm = {.x = {x.at(first * dx_bytes), task.type},
                   .chain = reinterpret_cast<const float*>(chain.at(sizeof(float) * first * 3 * s.c)),
                   .sums = reinterpret_cast<float*>(sums.at(first * sum_bytes))};
    runner.run(stream, call);
  };
  run(0, 1, false);
  const std::vector<float> dh = as_floats(fetch(stream, dx.data(), dx_bytes), task.type);
  fill_bytes(stream, dx.data(), 0xFF, kInvented * dx_bytes);
  for (int image = 0; image < kInvented; ++image) run(image, 1, true);
  const std::vector<char> alone = fetch(stream, dx.data(), kInvented * dx_bytes),
                          alone_sums = fetch(stream, sums.data(), kInvented * sum_bytes);
  fill_bytes(stream, dx.data(), 0xFF, kInvented * dx_bytes);
  run(0, kInvented, true);
  if (alone != fetch(stream, dx.data(), kInvented * dx_bytes) ||
      alone_sums != fetch(stream, sums.data(), kInvented * sum_bytes))
    return "with the norm before it an image's bits among others are not those it has alone";

  const std::vector<float> in = as_floats(fetch(stream, x.data(), dx_bytes), task.type),
                           link = as_floats(fetch(stream, chain.data(), sizeof(float) * 3 * s.c), DType::F32),
                           dz = as_floats(std::vector<char>(alone.begin(), alone.begin() + dx_bytes), task.type),
                           got = as_floats(alone_sums, DType::F32);
  std::vector<double> want(size_t{3} * rows * s.c, 0.0);
  double most = 0, off = 0, sums_most = 0, sums_off = 0;
  for (int64_t i = 0; i < dx_count; ++i) {
    const int64_t c = i % s.c, row = i / s.c / (pixels / rows);
    const double d = in[i] + double{link[c]}, z = d * link[s.c + c] + link[2 * s.c + c],
                 sigmoid = 1 / (1 + std::exp(-z));
    const double expected = dh[i] * sigmoid * (1 + z * (1 - sigmoid));
    most = std::max(most, std::abs(expected));
    off = std::max(off, std::isfinite(dz[i]) ? std::abs(dz[i] - expected) : HUGE_VAL);
    want[(3 * row + 0) * s.c + c] += dz[i];
    want[(3 * row + 1) * s.c + c] += dz[i] * d;
    want[(3 * row + 2) * s.c + c] += d;
  }
  for (size_t i = 0; i < want.size(); ++i) {
    sums_most = std::max(sums_most, std::abs(want[i]));
    sums_off = std::max(sums_off, std::isfinite(got[i]) ? std::abs(got[i] - want[i]) : HUGE_VAL);
  }
  return off <= most * 0x1p-6 && sums_off <= sums_most * 0x1p-12 ? "" : "it gave other values with the norm before it";
}

// A chunk of images of which all but the first are zero, and then a second chunk of zeros, which adds nothing.
std::string try_weight(const ConvTask& task, ConvRunner& runner) {
  const ConvShape& s = task.shape;
  const int chunk = images_per_chunk();
  const size_t x_bytes = size_of(task.type) * x_elements(s), y_bytes = size_of(task.type) * y_elements(s);
  const size_t w_bytes = sizeof(float) * s.weights();
  const bool fits = 2 * chunk * static_cast<int64_t>(x_bytes + y_bytes) <= kMostBytes;
  const int most = fits ? 2 * chunk : chunk;
  Stream& stream = trial_stream();
  const DeviceBlock wide(sizeof(float) * std::max(x_elements(s), y_elements(s))), x(most * x_bytes), y(most * y_bytes),
      w(w_bytes), bias(sizeof(float) * s.k), want(w_bytes), want_bias(sizeof(float) * s.k),
      workspace(std::max({runner.workspace(chunk), runner.workspace(most), weight_partials_bytes(s, 1)}));
  for (const auto& [images, count, bytes, seed] :
       {std::tuple{&x, x_elements(s), x_bytes, 1u}, {&y, y_elements(s), y_bytes, 2u}}) {
    invent(stream, images->data(), task.type, wide, count, seed);
    fill_bytes(stream, images->at(bytes), 0, (most - 1) * bytes);
  }
  const auto run = [&](ConvRunner& with, const DeviceBlock& dweight, const DeviceBlock& dbias, int n) {
    ConvCall call{.x = {x.data(), task.type}, .dy = {y.data(), task.type}, .n = n, .workspace = workspace.data()};
    call.dweight = static_cast<float*>(dweight.data());
    call.dbias = static_cast<float*>(dbias.data());
    with.run(stream, call);
    std::vector<char> both = fetch(stream, dweight.data(), w_bytes);
    const std::vector<char> tail = fetch(stream, dbias.data(), sizeof(float) * s.k);
    both.insert(both.end(), tail.begin(), tail.end());
    return both;
  };
  const std::vector<char> portable = run(*kPortableConv.make("trial", task, kPortableConv.name), want, want_bias, 1);
  const std::vector<char> first = run(runner, w, bias, chunk);
  if (first != run(runner, w, bias, chunk)) return "a second run gave other bits";
  if (most > chunk && first != run(runner, w, bias, most)) return "images of zeros changed its bits";
  return same_up_to_rounding(first, portable, DType::F32, task.type == DType::F32) ? "" : kOtherValues;
}

}  // namespace

double time_conv(const ConvTask& task, ConvRunner& runner, int n) {
  const ConvShape& s = task.shape;
  const size_t x_bytes = size_of(task.type) * x_elements(s), y_bytes = size_of(task.type) * y_elements(s);
  Stream& stream = trial_stream();
  const DeviceBlock x(n * x_bytes), y(n * y_bytes), residual(n * y_bytes), bias(sizeof(float) * s.k),
      w(sizeof(float) * s.weights()), dbias(sizeof(float) * s.k), workspace(runner.workspace(n)),
      wide(sizeof(float) * std::max<int64_t>({x_elements(s), y_elements(s), s.k}));
  const Filters filters(stream, task, runner);
  invent(stream, bias.data(), DType::F32, wide, s.k, 5);
  for (const auto& [images, count, bytes, seed] : {std::tuple{&x, x_elements(s), x_bytes, 1u},
                                                   {&y, y_elements(s), y_bytes, 2u},
                                                   {&residual, y_elements(s), y_bytes, 7u}}) {
    invent(stream, images->data(), task.type, wide, count, seed);
    repeat_images(stream, *images, bytes, 1, n);
  }
  ConvCall call{.n = n, .workspace = workspace.data()};
  call.filters = {filters.packed.data(), task.type};
  const DataRef x_data(x.data(), task.type), y_data(y.data(), task.type);
  if (task.direction == ConvDirection::Data) {
    call.dy = y_data;
    call.result = x_data;
  } else {
    call.x = x_data;
  }
  if (task.direction == ConvDirection::Forward) {
    call.result = y_data;
    call.epilogue = {static_cast<const float*>(bias.data()), {residual.data(), task.type}, 1.0f};
  } else if (task.direction == ConvDirection::Weight) {
    call.dy = y_data;
    call.dweight = static_cast<float*>(w.data());
    call.dbias = static_cast<float*>(dbias.data());
  }
  return time_launches(stream, [&] { runner.run(stream, call); });
}

std::string try_conv(const ConvTask& task, ConvRunner& runner) {
  if (task.direction == ConvDirection::Weight) return try_weight(task, runner);
  std::string trouble = try_images(task, runner);
  if (trouble.empty() && runner.norm_rows()) trouble = try_norm(task, runner);
  return trouble;
}

}  // namespace ito
