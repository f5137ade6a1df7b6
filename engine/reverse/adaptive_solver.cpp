// SPDX-License-Identifier: Apache-2.0
// See adaptive_solver.h: the order of a try's launches, and the host's watch over them.
#include "engine/reverse/adaptive_solver.h"

#include "kernels/error.h"

namespace ito {

AdaptiveSolver::AdaptiveSolver(Slope& slope, int n, int64_t size, int extras, const AdaptiveSettings& settings,
                               BufferList& buffers)
    : slope_(slope), n_(n), extras_(extras), size_(size), settings_(settings) {
  const size_t floats = saturated_product({static_cast<size_t>(n), static_cast<size_t>(size)});
  const size_t numbers = static_cast<size_t>(n) * static_cast<size_t>(extras);
  buffers.add(images_, n, "an adaptive solver's controllers");
  buffers.add(y_, floats, "the state of an adaptive solver");
  buffers.add(trial_, floats, "a stage of an adaptive solver");
  buffers.add(slopes_, saturated_product({kOdeSlopes, floats}), "slopes of an adaptive solver");
  buffers.add(times_, n, "times of an adaptive solver");
  buffers.add(extra_, numbers, "numbers beside an adaptive solver's state");
  buffers.add(extra_slopes_, kOdeSlopes * numbers, "slopes of numbers beside an adaptive solver's state");
  buffers.add(on_host_, 2, "the count of an adaptive solver");
}

void AdaptiveSolver::prepare() {
  on_host_.data()[0] = on_host_.data()[1] = 0;
}

OdeData AdaptiveSolver::view() const {
  return {.images = images_.data(),
          .y = y_.data(),
          .trial = trial_.data(),
          .slopes = slopes_.data(),
          .times = times_.data(),
          .extra = extra_.data(),
          .extra_slopes = extra_slopes_.data(),
          .n = n_,
          .size = size_,
          .extras = extras_};
}

// k_{number+1}: at the state for the first one of a run, else at the stage.
void AdaptiveSolver::slope(Stream& stream, int number) {
  slope_.launch(stream, {.y = number == 0 ? y_.data() : trial_.data(),
                         .t = times_.data(),
                         .slope = slopes_.data() + number * n_ * size_,
                         .extra = extras_ ? extra_slopes_.data() + int64_t{number} * n_ * extras_ : nullptr,
                         .n = n_,
                         .size = size_});
}

void AdaptiveSolver::start(Stream& stream) {
  const OdeData data = view();
  ode_begin(stream, data, settings_.ode);
  slope(stream, 0);
  ode_first_try(stream, data, settings_.ode);
  ode_stage(stream, data, 0);
  slope(stream, 1);
  ode_first_step(stream, data, settings_.ode);
}

void AdaptiveSolver::launch_try(Stream& stream) {
  const OdeData data = view();
  for (int stage = 1; stage < kOdeSlopes; ++stage) {
    ode_stage(stream, data, stage);
    slope(stream, stage);
  }
  ode_control(stream, data, settings_.ode);
  ode_count(stream, on_host_.data(), on_host_.data() + 1, data, settings_.ode);
}

// Where code must be loaded before its capture, a try runs that moves nothing: every image has arrived.
void AdaptiveSolver::make_graph(Stream& stream) {
  const std::vector<OdeImage> arrived(static_cast<size_t>(n_), OdeImage{.t = settings_.ode.from,
                                                                        .step = 0,
                                                                        .goal = settings_.ode.from,
                                                                        .wish = 0,
                                                                        .progress = OdeProgress::Arrived,
                                                                        .rejected_before = 0,
                                                                        .evaluations = 0,
                                                                        .accepted = 0,
                                                                        .rejected = 0});
  images_.upload(stream, arrived.data());
  fill_bytes(stream, slopes_.data(), 0, slopes_.bytes());
  stream.warm([&] { launch_try(stream); });
  try_ = stream.capture([&] { launch_try(stream); });
}

void AdaptiveSolver::replay_try(Stream& stream) {
  if (settings_.capture)
    stream.replay(try_);
  else
    launch_try(stream);
}

void AdaptiveSolver::run(Stream& stream, int64_t first, int wanted) {
  if (settings_.capture && !try_) make_graph(stream);
  __atomic_store_n(on_host_.data(), n_, __ATOMIC_RELAXED);
  start(stream);
  for (int tries = 0; tries < settings_.most_tries; ++tries) {
    replay_try(stream);
    stream.record(ends_[tries % 2]);
    if (tries > 0) stream.synchronize(ends_[(tries - 1) % 2]);
    if (__atomic_load_n(on_host_.data(), __ATOMIC_RELAXED) == 0) break;
  }
  stream.synchronize();
  const std::vector<OdeImage> ends = images(stream);
  for (int i = 0; i < wanted; ++i) {
    const OdeImage& end = ends[i];
    ITO_CHECK(end.progress != OdeProgress::Stuck, "ode: image ", first + i, " came to a standstill at time ", end.t,
              " on the way from ", settings_.ode.from, " to ", settings_.ode.to, ", after ", end.evaluations,
              " evaluations: no step is short enough; are the model's weights whole, and is the tolerance one that its "
              "precision allows?");
    ITO_CHECK(end.progress == OdeProgress::Arrived, "ode: image ", first + i, " has come to time ", end.t,
              " on the way from ", settings_.ode.from, " to ", settings_.ode.to, " in ", settings_.most_tries,
              " tries; use larger tolerances");
  }
  __atomic_store_n(on_host_.data() + 1, int64_t{0}, __ATOMIC_RELAXED);
  __atomic_store_n(&finished_, finished_ + int64_t{1000} * n_, __ATOMIC_RELAXED);
}

std::vector<OdeImage> AdaptiveSolver::images(Stream& stream) const {
  std::vector<OdeImage> images(images_.count());
  images_.download(stream, images.data());
  return images;
}

std::vector<double> AdaptiveSolver::extra(Stream& stream) const {
  std::vector<double> extra(extra_.count());
  if (!extra.empty()) extra_.download(stream, extra.data());
  return extra;
}

int64_t AdaptiveSolver::thousandths() const {
  return __atomic_load_n(&finished_, __ATOMIC_RELAXED) + __atomic_load_n(on_host_.data() + 1, __ATOMIC_RELAXED);
}

}  // namespace ito
