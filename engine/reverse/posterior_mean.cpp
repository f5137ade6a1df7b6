// SPDX-License-Identifier: Apache-2.0
// See posterior_mean.h. The last batch is padded with its last image, since a program has one batch size.
#include "engine/reverse/posterior_mean.h"

#include <algorithm>
#include <cmath>

#include "engine/program/memory_check.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

constexpr double kSameLevel = 1e-4;  // between two levels that are one, of the larger: a ratio may come in fp32

int64_t widest(const Network& network) {
  return network.image.pixels() * std::max(network.image.channels, network.out_channels);
}

}  // namespace

PosteriorMean::PosteriorMean(const Network& network, const NoiseSchedule& schedule, const float* weights, int batch,
                             DType compute, Denoiser::Gradient gradient, const std::string& where, size_t memory_limit)
    : where_(where),
      levels_(schedule, kTerminalAbar),
      reading_(Reading::of(schedule.config())),
      denoiser_(network, batch, compute, gradient) {
  const auto floats = static_cast<size_t>(batch * widest(network));
  check_memory("denoising", {{"network", denoiser_.planned_bytes()}, {"images", 2 * floats * sizeof(float)}},
               memory_limit, "lower the batch");
  denoiser_.bind(weights);
  denoiser_.pack(stream_);
  staging_ = {floats, "images to denoise"};
  host_.resize(floats);
}

PosteriorMean::Call PosteriorMean::call_at(double s, int64_t image) const {
  ITO_USER_CHECK(std::isfinite(s) && s >= 0, where_, ": image ", image, " has noise of ", s,
                 "; expected a number of at least 0");
  const TimeDomain& time = denoiser_.network().time;
  // Clean data are asked at the least level there is, and answer themselves.
  Level level = s > 0 ? levels_.of_s(s) : levels_.at(0);
  if (time.rows && s > 0) {
    const Level tabled = levels_.at(std::round(level.time));
    ITO_USER_CHECK(std::fabs(tabled.s() - s) <= kSameLevel * s, where_, ": image ", image, " has noise of ", s,
                   ", and ", time.why, "; the level of the nearest one has ", tabled.s());
    level = tabled;
  }
  const CallAt call = reading_.call(level, Space::Sigma);
  ITO_USER_CHECK(!time.positive || call.time > 0, where_, ": image ", image, " has noise of ", s, ", and ", time.why,
                 "; ask for more noise than that of timestep 0");
  const bool clean = s == 0;
  return {.time = static_cast<float>(call.time),
          .input_scale = static_cast<float>(call.input_scale),
          .from_x = clean ? 1 : call.x0.from_x,
          .from_answer = clean ? 0 : call.x0.from_given};
}

void PosteriorMean::estimate(const NoisyImages& images, float* x0) {
  run(images, nullptr, x0, nullptr);
}

void PosteriorMean::pull_back(const NoisyImages& images, const float* v, float* x0, float* gradient) {
  run(images, v, x0, gradient);
}

void PosteriorMean::run(const NoisyImages& images, const float* v, float* x0, float* gradient) {
  std::vector<Call> calls;
  for (int64_t i = 0; i < images.count; ++i) calls.push_back(call_at(images.s[i], i));
  for (int64_t first = 0; first < images.count; first += batch()) run_batch(images, first, calls, v, x0, gradient);
}

void PosteriorMean::run_batch(const NoisyImages& images, int64_t first, const std::vector<Call>& calls, const float* v,
                              float* x0, float* gradient) {
  const Network& network = denoiser_.network();
  const int64_t n = std::min<int64_t>(batch(), images.count - first), size = network.image.size();
  const int64_t pixels = network.image.pixels();
  const int channels = network.image.channels, out = network.out_channels;
  const auto image_of = [&](int64_t slot) { return static_cast<size_t>(first + std::min(slot, n - 1)); };
  std::vector<float> times, levels;
  std::vector<int32_t> labels;
  for (int64_t slot = 0; slot < batch(); ++slot) {
    const size_t image = image_of(slot);
    const Call& call = calls[image];
    times.push_back(call.time);
    levels.push_back(call.input_scale);
    levels.push_back(static_cast<float>(call.input_scale * images.s[image]));
    if (images.labels) labels.push_back(images.labels[image]);
    const float* x = images.x + static_cast<int64_t>(image) * size;
    std::transform(x, x + size, host_.begin() + slot * size, [&](float value) { return call.input_scale * value; });
  }
  copy_to_device(stream_, staging_.data(), host_.data(), static_cast<size_t>(batch() * size) * sizeof(float));
  convert(stream_, denoiser_.sample(), staging_.data(), batch() * size);
  copy_to_device(stream_, denoiser_.timestep(), times.data(), times.size() * sizeof(float));
  if (network.asks_level) copy_to_device(stream_, denoiser_.level(), levels.data(), levels.size() * sizeof(float));
  if (network.labels == LabelKind::Index)
    copy_to_device(stream_, denoiser_.labels().as<int32_t>(), labels.data(), labels.size() * sizeof(int32_t));
  denoiser_.expect_times(times);
  denoiser_.evaluate(stream_);
  // number(slot, i, at): number i of a slot's image, at its place among the answers.
  const auto each = [&](int64_t slots, const auto& number) {
    for (int64_t slot = 0; slot < slots; ++slot)
      for (int64_t i = 0; i < size; ++i)
        number(slot, i, static_cast<size_t>((slot * pixels + i / channels) * out + i % channels));
  };
  if (x0) {
    convert(stream_, staging_.data(), denoiser_.prediction(), batch() * pixels * out);
    copy_to_host(stream_, host_.data(), staging_.data(), static_cast<size_t>(batch() * pixels * out) * sizeof(float));
    each(n, [&](int64_t slot, int64_t i, size_t at) {
      const Call& call = calls[image_of(slot)];
      const int64_t place = (first + slot) * size + i;
      x0[place] = static_cast<float>(call.from_x * images.x[place] + call.from_answer * host_[at]);
    });
  }
  if (!gradient) return;
  std::fill(host_.begin(), host_.end(), 0.0f);  // channels that say nothing of x0 pull nothing back
  each(batch(), [&](int64_t slot, int64_t i, size_t at) {
    const auto image = static_cast<int64_t>(image_of(slot));
    host_[at] = static_cast<float>(calls[image_of(slot)].from_answer * v[image * size + i]);
  });
  copy_to_device(stream_, staging_.data(), host_.data(), static_cast<size_t>(batch() * pixels * out) * sizeof(float));
  convert(stream_, denoiser_.cotangent(), staging_.data(), batch() * pixels * out);
  denoiser_.pull_back(stream_);
  convert(stream_, staging_.data(), denoiser_.input_gradient(), batch() * size);
  copy_to_host(stream_, host_.data(), staging_.data(), static_cast<size_t>(batch() * size) * sizeof(float));
  for (int64_t slot = 0; slot < n; ++slot)
    for (int64_t i = 0; i < size; ++i) {
      const Call& call = calls[image_of(slot)];
      const int64_t place = (first + slot) * size + i;
      gradient[place] = static_cast<float>(call.from_x * v[place] +
                                           double{call.input_scale} * host_[static_cast<size_t>(slot * size + i)]);
    }
}

}  // namespace ito
