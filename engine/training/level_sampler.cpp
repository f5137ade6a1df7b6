// SPDX-License-Identifier: Apache-2.0
// See level_sampler.h. The chances are a function of the losses, so that a checkpoint keeps these alone.
#include "engine/training/level_sampler.h"

#include <algorithm>
#include <cmath>

#include "engine/io/option_name.h"
#include "kernels/diffusion/level_losses.h"

namespace ito {

LevelSampler::LevelSampler(const LevelDrawChoice& choice, const Levels& levels)
    : choice_(choice), levels_(levels.steps()), fixed_(choice.thresholds(levels)) {}

void LevelSampler::declare(BufferList& buffers) {
  const size_t levels = levels_, learnt = choice_.learns() ? levels : 0;
  buffers.add(thresholds_, fixed_.empty() ? learnt : levels, "chances of levels");
  buffers.add(scale_, learnt, "weights of levels");
  buffers.add(losses_, learnt * kLevelHistory, "losses of levels");
  buffers.add(counts_, learnt, "losses counted");
}

void LevelSampler::start(Stream& stream) {
  if (!fixed_.empty()) thresholds_.upload(stream, fixed_.data());
  if (!choice_.learns()) return;
  losses_.zero(stream);
  counts_.zero(stream);
  make_chances(stream);
}

void LevelSampler::draw(Stream& stream, ForwardRow* rows, const ForwardRow* table, const SampleCounter& counter,
                        int n) {
  draw_levels(stream, rows, table, levels_, {thresholds_.data(), scale_.data()}, counter, n);
}

void LevelSampler::learn(Stream& stream, const float* loss, const ForwardRow* rows, const int32_t* apply, int n) {
  if (!choice_.learns()) return;
  record_level_losses(stream, losses_.data(), counts_.data(), loss, rows, scale_.data(), apply, levels_, n);
  make_chances(stream);
}

void LevelSampler::make_chances(Stream& stream) {
  level_loss_chances(stream, thresholds_.data(), scale_.data(), losses_.data(), counts_.data(), levels_,
                     choice_.uniform_share());
}

LevelLosses LevelSampler::losses(Stream& stream) const {
  LevelLosses kept{std::vector<float>(losses_.count()), std::vector<int32_t>(counts_.count())};
  if (!choice_.learns()) return kept;
  losses_.download(stream, kept.losses.data());
  counts_.download(stream, kept.counts.data());
  return kept;
}

void LevelSampler::set_losses(Stream& stream, const LevelLosses& kept) {
  ITO_USER_CHECK(kept.losses.size() == losses_.count() && kept.counts.size() == counts_.count(),
                 option_name("timestep_sampling"), " ", choice_.text(), ": the training state has losses of ",
                 kept.counts.size(), " levels; expected ", counts_.count());
  if (!choice_.learns()) return;
  const bool fits = std::all_of(kept.counts.begin(), kept.counts.end(),
                                [](int32_t count) { return count >= 0 && count < 2 * kLevelHistory; }) &&
                    std::all_of(kept.losses.begin(), kept.losses.end(), [](float loss) { return std::isfinite(loss); });
  ITO_USER_CHECK(fits, option_name("timestep_sampling"), " ", choice_.text(),
                 ": the training state has a loss of a level that is not finite, or a count outside 0 to ",
                 2 * kLevelHistory - 1, "; go on from another checkpoint");
  losses_.upload(stream, kept.losses.data());
  counts_.upload(stream, kept.counts.data());
  make_chances(stream);
}

}  // namespace ito
