// SPDX-License-Identifier: Apache-2.0
// See restoration.h. A batch is some draws of some measurements, measurement by measurement; where a measurement has
// more draws than a batch has images, its draws come in several, and their moments are added up.
#include "engine/inverse/restoration.h"

#include <algorithm>
#include <cmath>

#include "engine/program/memory_check.h"
#include "kernels/inverse/draw_moments.h"

namespace ito {
namespace {

// Draws and measurements that a batch of at most `batch` images has of each.
int chunk_of(const RestoreSettings& s) {
  ITO_USER_CHECK(s.batch >= 1, "restoring: a batch of ", s.batch, " images; expected at least 1");
  ITO_USER_CHECK(s.draws >= 1 && s.draws <= kMostDraws, "restoring: ", s.draws,
                 " draws of a measurement; expected 1 to ", kMostDraws);
  return static_cast<int>(ceil_div(s.draws, ceil_div(s.draws, s.batch)));  // as even as can be, none is dropped
}
int group_of(const RestoreSettings& s) {
  return std::max(1, s.batch / chunk_of(s));
}

// Hooks that call the network again do it at the row's time.
Denoiser planned(const Network& network, const RestoreSettings& s, const RestorePlan& plan) {
  return Denoiser(network, group_of(s) * chunk_of(s), s.compute,
                  plan.hooks->needs_gradient() ? Denoiser::Gradient::Input : Denoiser::Gradient::None,
                  times_of(plan.table));
}

// Philox words: measurements have the low bits, draws the high ones, so that neither count moves the other's.
uint32_t sample_word(int64_t measurement, int draw) {
  return static_cast<uint32_t>(measurement) | static_cast<uint32_t>(draw) << 20;
}

}  // namespace

Restoration::Restoration(const Network& network, const float* weights, MeasurementOperator& op, RestorePlan plan,
                         const RestoreSettings& settings)
    : settings_(settings),
      plan_(std::move(plan)),
      op_(op),
      group_(group_of(settings)),
      chunk_(chunk_of(settings)),
      denoiser_(planned(network, settings, plan_)),
      loop_(denoiser_, plan_.table, settings.seed, settings.capture, plan_.hooks.get(), buffers_) {
  ITO_USER_CHECK(network.image == op.image(), "restoring: the model is of images of ", network.image.channels, " x ",
                 network.image.height, " x ", network.image.width, ", the operator of ", op.image().channels, " x ",
                 op.image().height, " x ", op.image().width);
  plan_.hooks->plan(denoiser_, loop_.rows(), buffers_);
  const size_t numbers = static_cast<size_t>(group_ * network.image.size());
  buffers_.add(moments_, 2 * numbers, "moments of draws");
  buffers_.add(mean_, numbers, "means of draws");
  buffers_.add(deviation_, numbers, "deviations of draws");
  check_memory("restoring",
               {{"network", denoiser_.planned_bytes() + buffers_.bytes()},
                {"weights", sizeof(float) * denoiser_.program().layout().arena_floats()},
                {"images", settings.kept_bytes}},
               settings.memory_limit, "lower the batch or the draws");
  denoiser_.bind(weights);
  buffers_.allocate();
  loop_.prepare();
  plan_.hooks->prepare(loop_.stream());
  denoiser_.pack(loop_.stream());
}

int64_t Restoration::rows_of(int64_t count) const {
  return ceil_div(count, group_) * ceil_div(settings_.draws, chunk_) * loop_.rows();
}

Restored Restoration::restore(int64_t first, int64_t count, const float* y, const LabelRows& labels,
                              const RowWatch& watch) {
  ITO_CHECK(count >= 1 && count <= group_ && first >= 0 && first + count <= kMostMeasurements, "restoring: ", count,
            " measurements from ", first, " on, in groups of ", group_);
  const int64_t size = op_.image().size(), m = op_.measurements();
  const int images = group_ * chunk_, draws = settings_.draws, width = denoiser_.network().label_width;
  Restored restored;
  restored.samples.resize(static_cast<size_t>(count * draws * size));
  for (int begin = 0; begin < draws; begin += chunk_) {
    const int taken = std::min(chunk_, draws - begin);
    std::vector<float> measured(static_cast<size_t>(images * m));
    std::vector<uint32_t> words(static_cast<size_t>(images));
    Labels given;
    for (int i = 0; i < images; ++i) {
      // What fills up a batch that is not full is drawn and dropped.
      const int64_t at = std::min<int64_t>(i / chunk_, count - 1);
      std::copy_n(y + at * m, m, measured.begin() + i * m);
      words[static_cast<size_t>(i)] = sample_word(first + at, std::min(begin + i % chunk_, draws - 1));
      if (labels.classes) given.classes.push_back(labels.classes[at]);
      if (labels.values)
        given.values.insert(given.values.end(), labels.values + at * width, labels.values + (at + 1) * width);
    }
    plan_.hooks->set_batch(loop_.stream(), measured.data(), words.data());
    const BatchStart start{.first = 0, .labels = given.rows()};
    if (begin == 0 && watch)
      loop_.run_by_rows(start, watch);
    else
      loop_.run(start);
    add_draws(loop_.stream(), moments_.data(), loop_.x().data(), group_, chunk_, taken, begin, size);
    const std::vector<float> state = loop_.state();
    for (int64_t at = 0; at < count; ++at) {
      const auto from = state.begin() + at * chunk_ * size;
      if (!std::all_of(from, from + taken * size, [](float v) { return std::isfinite(v); }))
        report_not_finite(start, first, count, begin);
      std::copy_n(from, taken * size, restored.samples.begin() + (at * draws + begin) * size);
    }
  }
  finish_draws(loop_.stream(), mean_.data(), deviation_.data(), moments_.data(), group_, draws, size);
  const auto fetch = [&](const DeviceBuffer<float>& buffer) {
    std::vector<float> values(buffer.count());
    buffer.download(loop_.stream(), values.data());
    values.resize(static_cast<size_t>(count * size));
    return values;
  };
  restored.mean = fetch(mean_);
  restored.deviation = fetch(deviation_);
  return restored;
}

// A batch is a function of its measurements, so running it again shows where it went wrong.
void Restoration::report_not_finite(const BatchStart& start, int64_t first, int64_t count, int first_draw) {
  const int64_t size = op_.image().size();
  int64_t found = -1;
  int found_row = -1;
  const auto look = [&](int row) {
    if (found >= 0) return;
    const std::vector<float> x = loop_.state();
    for (int64_t i = 0; i < count * chunk_ && found < 0; ++i)
      if (!std::all_of(x.begin() + i * size, x.begin() + (i + 1) * size, [](float v) { return std::isfinite(v); }))
        found = i, found_row = row;
  };
  loop_.run_by_rows(start, {.after = look});
  ITO_CHECK(found >= 0, "restoring: measurements from ", first, " on held a value that was not finite, and none when ",
            "restored again; is the machine sound?");
  fail<Error>("restoring: draw ", first_draw + found % chunk_, " of measurement ", first + found / chunk_,
              " holds a value that is not finite after row ", found_row + 1, " of ", loop_.rows(),
              "; a solver's step may be too long for this operator, or the precision too low for the model");
}

}  // namespace ito
