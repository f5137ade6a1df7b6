// SPDX-License-Identifier: Apache-2.0
// The loop's body and its capture: inputs from the row, network, update, the row's number.
#include "engine/reverse/row_loop.h"

#include <algorithm>

#include "kernels/diffusion/gauge.h"
#include "kernels/diffusion/noising.h"
#include "kernels/nn/pointwise.h"
#include "kernels/random/philox.h"

namespace ito {

std::vector<float> times_of(const ReverseTable& table) {
  std::vector<float> times;
  for (const ReverseRow& row : table.rows) times.push_back(row.timestep);
  return times;
}

RowLoop::RowLoop(Denoiser& denoiser, const ReverseTable& table, uint64_t seed, bool capture, LoopHooks* hooks,
                 BufferList& buffers, int64_t given_draws)
    : denoiser_(denoiser), table_(table), seed_(seed), capture_(capture), hooks_(hooks) {
  const Network& network = denoiser.network();
  ITO_CHECK(!table_.rows.empty(), "a reverse process of no steps");
  for (const ReverseRow& row : table_.rows) {
    const bool idle = network.aside_idle && network.aside_idle(row.timestep);
    if (stretches_.empty() || stretches_.back().idle != idle) stretches_.push_back({0, row.timestep, idle});
    ++stretches_.back().rows;
  }
  const int channels = network.image.channels;
  ITO_USER_CHECK(network.out_channels == channels || network.out_channels == 2 * channels, "the network has ",
                 network.out_channels, " output channels for ", channels, " of data; sampling expects as many, or ",
                 "twice as many with a learned variance");
  for (size_t i = 0; i < table_.rows.size(); ++i) {
    const ReverseRow& row = table_.rows[i];
    measures_ = measures_ || row.gauge != Gauge::None;
    const bool learned = row.log_variance_high != 0 || row.log_variance_low != 0;
    ITO_CHECK(given_draws == 0 || row.draw < given_draws, "sampling: row ", i, " takes draw ", row.draw, " of ",
              given_draws, " given");
    ITO_USER_CHECK(!learned || network.out_channels == 2 * channels, "the network has ", network.out_channels,
                   " output channels for ", channels,
                   " of data, but the scheduler's variance is learned; change variance_type");
  }
  const size_t floats = static_cast<size_t>(denoiser.batch() * network.image.size());
  buffers.add(x_, floats, "the state of the reverse process");
  buffers.add(registers_, floats * table_.registers, "a sampler's registers");
  buffers.add(gauges_, measures_ ? 2 * denoiser.batch() : 0, "gauges of images");
  buffers.add(step_noise_, floats * given_draws, "the given noise of the steps");
  buffers.add(rows_, table_.rows.size(), "a sampler's rows");
  buffers.add(counters_, 3, "row counter");
  buffers.add(rows_done_, 1, "the count of rows");
}

void RowLoop::prepare() {
  rows_.upload(stream_, table_.rows.data());
  *rows_done_.data() = 0;
}

LoopState RowLoop::view() {
  LoopState state;
  state.x = x_.data();
  state.x_network = denoiser_.sample();
  state.registers = registers_.data();
  state.pred = denoiser_.prediction();
  state.rows = rows_.data();
  state.row = counters_.data();
  state.first = counters_.data() + 1;
  state.counter = SampleCounter::of_sampling(seed_, state.first);
  state.counter.given = step_noise_.data();
  if (hooks_) state.counter.words = hooks_->image_words();
  state.first_input_scale = static_cast<float>(table_.first_input_scale);
  state.n = denoiser_.batch();
  return state;
}

void RowLoop::launch_row(float time) {
  const LoopState state = view();
  const Network& network = denoiser_.network();
  const int64_t count = static_cast<int64_t>(x_.count());
  const auto copy_for_network = [&] { scale_input(stream_, state.x_network, state.x, state.rows, state.row, count); };
  set_timesteps(stream_, denoiser_.timestep(), state.rows, state.row, state.n);
  denoiser_.take_time(stream_, state.row);
  if (network.asks_level)
    set_levels(stream_, denoiser_.level(), state.rows, state.row, state.first_input_scale, state.n);
  denoiser_.expect_times({&time, 1});
  denoiser_.evaluate(stream_);
  if (hooks_) hooks_->after_estimate(stream_, state);
  if (hooks_ && hooks_->update(stream_, state)) {
    copy_for_network();
  } else {
    const bool wide = network.wide();
    const int pixels = network.image.height * network.image.width, c = network.image.channels;
    if (measures_)
      measure_gauges(stream_, gauges_.data(), state.x, state.pred, wide, state.rows, state.row, state.counter, state.n,
                     pixels, c);
    reverse_row(stream_, state.x, state.x_network, state.registers, table_.registers, state.pred, wide,
                measures_ ? gauges_.data() : nullptr, state.rows, state.row, state.counter, state.n, pixels, c);
  }
  if (hooks_ && hooks_->after_update(stream_, state)) copy_for_network();
  advance_row(stream_, counters_.data(), counters_.data() + 2, rows_done_.data());
}

void RowLoop::begin(const BatchStart& start) {
  const Network& network = denoiser_.network();
  const LoopState state = view();
  const int64_t count = static_cast<int64_t>(x_.count());
  const int64_t counters[3] = {0, start.first, batches_ * rows()};
  copy_to_device(stream_, counters_.data(), counters, sizeof counters);
  ITO_CHECK((start.step_noise != nullptr) == (step_noise_.count() > 0), "a batch ",
            start.step_noise ? "with" : "without", " the noise of its steps in a loop made ",
            start.step_noise ? "without" : "for it");
  if (start.step_noise) step_noise_.upload(stream_, start.step_noise);
  if (start.initial_noise)
    copy_to_device(stream_, state.x, start.initial_noise, x_.bytes());
  else
    fill_normal(stream_, state.x, state.counter, purpose_word(Purpose::InitialNoise), state.n, network.image.size());
  if (table_.start_scale != 1) affine(stream_, state.x, state.x, static_cast<float>(table_.start_scale), 0, count);
  denoiser_.put_labels(stream_, start.labels, state.n);
  if (hooks_) hooks_->start(stream_, state);
  scale_input(stream_, state.x_network, state.x, static_cast<float>(table_.first_input_scale), count);
}

// Runs a row of every kind so that code and libraries are loaded, then prepares the batch again.
void RowLoop::warm(const BatchStart& start) {
  if (!loops_.empty()) return;
  const int64_t done = rows_done();
  stream_.warm([this] {
    for (size_t i = 0; i < std::min<size_t>(stretches_.size(), 2); ++i) launch_row(stretches_[i].time);
  });
  if (rows_done() == done) return;  // nothing ran
  __atomic_store_n(rows_done_.data(), done, __ATOMIC_RELAXED);
  begin(start);
}

// Captured at the first use.
const Graph& RowLoop::loop_of(const Stretch& stretch, int turns) {
  Graph& loop = loops_[{stretch.idle, turns}];
  if (!loop) loop = stream_.capture_loop(turns, [&] { launch_row(stretch.time); });
  return loop;
}

void RowLoop::run(const BatchStart& start) {
  begin(start);
  if (capture_) {
    warm(start);
    for (const Stretch& s : stretches_) loop_of(s, s.rows);
    for (const Stretch& s : stretches_) stream_.replay(loop_of(s, s.rows));
  } else {
    for (const Stretch& s : stretches_)
      for (int i = 0; i < s.rows; ++i) launch_row(s.time);
  }
  ++batches_;
}

void RowLoop::run_by_rows(const BatchStart& start, const RowWatch& watch) {
  begin(start);
  if (capture_) {
    warm(start);
    for (const Stretch& s : stretches_) loop_of(s, 1);  // now, and not within what is watched
  }
  int row = 0;
  for (const Stretch& s : stretches_)
    for (const int end = row + s.rows; row < end; ++row) {
      if (watch.before) watch.before(row);
      if (capture_)
        stream_.replay(loop_of(s, 1));
      else
        launch_row(s.time);
      if (watch.after) watch.after(row);
    }
  ++batches_;
}

int64_t RowLoop::rows_done() const {
  return __atomic_load_n(rows_done_.data(), __ATOMIC_RELAXED);
}

std::vector<float> RowLoop::state() {
  std::vector<float> state(x_.count());
  x_.download(stream_, state.data());
  return state;
}

}  // namespace ito
