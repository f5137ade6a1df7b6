// SPDX-License-Identifier: Apache-2.0
// See noised_calls.h. The host chooses images and levels; noising and the network run on the device.
#include "engine/likelihood/noised_calls.h"

#include <algorithm>

#include "engine/program/memory_check.h"
#include "kernels/diffusion/noising.h"

namespace ito {
namespace {

Levels levels_of_chain(const NoiseSchedule& schedule, const std::string& what) {
  ITO_USER_CHECK(schedule.config().family == Family::Vp, what, ": a ", name_of(schedule.config().family),
                 " model has no chain of timesteps; use a model of tabled betas");
  return Levels(schedule);
}

// Whoever measures asks at every timestep, of many images.
std::vector<float> times_of(const std::vector<ForwardRow>& rows) {
  std::vector<float> times;
  for (const ForwardRow& row : rows) times.push_back(row.timestep);
  return times;
}

}  // namespace

NoisedCalls::NoisedCalls(const Network& network, const NoiseSchedule& schedule, const std::vector<float>& images,
                         const Labels& labels, const NoisedCallSettings& settings, const std::string& what)
    : images_(images),
      labels_(labels),
      settings_(settings),
      what_(what),
      levels_(levels_of_chain(schedule, what)),
      forward_(forward_rows(levels_, Reading::of(schedule.config()))),
      count_(static_cast<int64_t>(images.size()) / network.image.size()),
      denoiser_(network, settings.batch, settings.compute, Denoiser::Gradient::None, times_of(forward_)) {
  ITO_CHECK(count_ > 0 && static_cast<int64_t>(images.size()) == count_ * network.image.size(), what, " of ",
            images.size(), " numbers, expected images of ", network.image.size());
  const auto classes = static_cast<int64_t>(labels.classes.size()), values = static_cast<int64_t>(labels.values.size());
  ITO_CHECK(classes == (network.labels == LabelKind::Index ? count_ : 0) &&
                values == (network.labels == LabelKind::Value ? count_ * network.label_width : 0),
            what, ": ", classes, " classes and ", values, " numbers of labels for ", count_, " images");
  buffers_.add(x0_, static_cast<size_t>(batch() * network.image.size()), "images");
  buffers_.add(rows_, static_cast<size_t>(batch()), "levels");
  buffers_.add(timesteps_, static_cast<size_t>(batch()), "timesteps");
}

void NoisedCalls::prepare(const float* weights) {
  check_memory(what_.c_str(), {{"network", denoiser_.planned_bytes()}, {"images", buffers_.bytes()}},
               settings_.memory_limit, "lower the batch");
  buffers_.allocate();
  denoiser_.bind(weights);
  denoiser_.pack(stream_);
  host_x0_.resize(x0_.count());
  host_rows_.resize(rows_.count());
  host_timesteps_.resize(rows_.count());
  host_levels_.resize(rows_.count() * kLevelWidth);
  host_times_.resize(rows_.count());
  if (!labels_.classes.empty()) host_labels_.classes.resize(rows_.count());
  if (!labels_.values.empty()) host_labels_.values.resize(rows_.count() * denoiser_.network().label_width);
}

void NoisedCalls::evaluate(int64_t first, const std::vector<NoisedPair>& pairs) {
  const int64_t size = denoiser_.network().image.size();
  const int n = batch(), width = denoiser_.network().label_width;
  ITO_CHECK(!pairs.empty() && static_cast<int>(pairs.size()) <= n, what_, ": ", pairs.size(), " pairs, expected 1 to ",
            n);
  for (int i = 0; i < n; ++i) {
    const NoisedPair& pair = pairs[std::min<size_t>(i, pairs.size() - 1)];
    std::copy_n(images_.begin() + pair.image * size, size, host_x0_.begin() + i * size);
    host_rows_[i] = forward_[pair.timestep];
    host_times_[i] = host_rows_[i].timestep;
    host_timesteps_[i] = pair.timestep;
    const Level level = levels_.at(pair.timestep);
    host_levels_[kLevelWidth * i] = static_cast<float>(level.alpha);
    host_levels_[kLevelWidth * i + 1] = static_cast<float>(level.sigma);
    if (!labels_.classes.empty()) host_labels_.classes[i] = labels_.classes[pair.image];
    if (!labels_.values.empty())
      std::copy_n(labels_.values.begin() + pair.image * width, width, host_labels_.values.begin() + int64_t{i} * width);
  }
  x0_.upload(stream_, host_x0_.data());
  rows_.upload(stream_, host_rows_.data());
  timesteps_.upload(stream_, host_timesteps_.data());
  if (denoiser_.level())
    copy_to_device(stream_, denoiser_.level(), host_levels_.data(), host_levels_.size() * sizeof(float));
  denoiser_.put_labels(stream_, host_labels_.rows(), n);
  counter_ = {.seed = settings_.seed, .first = first};
  add_noise(stream_, denoiser_.sample(), denoiser_.timestep(), x0_.data(), rows_.data(), counter_, n, size);
  denoiser_.take_times(stream_, timesteps_.data());
  denoiser_.expect_times(host_times_);
  denoiser_.evaluate(stream_);
}

}  // namespace ito
