// SPDX-License-Identifier: Apache-2.0
// See measurement_hooks.h.
#include "engine/inverse/measurement_hooks.h"

namespace ito {

void MeasurementHooks::plan(Denoiser& denoiser, int rows, BufferList& buffers) {
  denoiser_ = &denoiser;
  for (const std::optional<StateEdit>* edit : {&in_update, &after_row})
    ITO_CHECK(!*edit || (*edit)->rows() == rows, "a solver's edit of ", (*edit)->rows(), " rows in a loop of ", rows);
  const int batch = denoiser.batch();
  const size_t numbers = static_cast<size_t>(batch * op_.image().size());
  op_.plan(batch, buffers);
  if (Spectrum* spectrum = op_.spectrum()) spectrum->plan(batch, buffers);
  plan_scratch(scratch_, op_, batch, buffers);
  buffers.add(words_, static_cast<size_t>(batch), "numbers of images");
  buffers.add(y_, static_cast<size_t>(batch * op_.measurements()), "measurements");
  buffers.add(ybar_, op_.has_pseudo_inverse() ? numbers : 0, "measurements in their coordinates");
  buffers.add(estimate_, estimates() ? numbers : 0, "an estimate of x0");
  buffers.add(direction_, needs_gradient() ? numbers : 0, "a direction of guidance");
  for (std::optional<StateEdit>* edit : {&at_start, &in_update, &after_row})
    if (*edit) (*edit)->plan(buffers);
  if (guidance) guidance->plan(batch, buffers);
}

void MeasurementHooks::prepare(Stream& stream) {
  op_.prepare(stream);
  if (Spectrum* spectrum = op_.spectrum()) spectrum->prepare(stream);
  for (std::optional<StateEdit>* edit : {&at_start, &in_update, &after_row})
    if (*edit) (*edit)->prepare(stream);
  if (guidance) guidance->prepare(stream);
}

void MeasurementHooks::set_batch(Stream& stream, const float* y, const uint32_t* words) {
  copy_to_device(stream, y_.data(), y, y_.bytes());
  copy_to_device(stream, words_.data(), words, words_.bytes());
}

EstimateInputs MeasurementHooks::inputs(const LoopState& state) const {
  const Network& network = denoiser_->network();
  return {.x = state.x,
          .pred = state.pred,
          .wide = network.wide(),
          .rows = state.rows,
          .row = state.row,
          .n = state.n,
          .pixels = static_cast<int>(network.image.pixels()),
          .c = network.image.channels};
}

void MeasurementHooks::start(Stream& stream, const LoopState& state) {
  if (op_.has_pseudo_inverse()) {
    op_.pseudo_inverse(stream, ybar_.data(), y_.data(), state.n);
    if (Spectrum* spectrum = op_.spectrum()) spectrum->to_basis(stream, ybar_.data(), ybar_.data(), state.n);
  }
  if (at_start) at_start->apply(stream, state.x, nullptr, state.x, data(), scratch_, nullptr, state.counter, state.n);
}

void MeasurementHooks::after_estimate(Stream& stream, const LoopState& state) {
  if (!estimates()) return;
  const EstimateInputs in = inputs(state);
  estimate_x0(stream, estimate_.data(), in);
  if (!guidance) return;
  bool answered = true;  // activations stand until they are pulled back through
  const PullBack pull_back = [&](Stream& s, float* g, const float* u) {
    if (!answered) denoiser_->evaluate(s);
    answered = false;
    set_guidance_cotangent(s, denoiser_->cotangent(), u, in);
    denoiser_->pull_back(s);
    finish_guidance(s, g, u, denoiser_->input_gradient(), state.first_input_scale, in);
  };
  const GuidancePoint at{.d = estimate_.data(),
                         .data = data(),
                         .scratch = scratch_,
                         .row = state.row,
                         .counter = state.counter,
                         .n = state.n,
                         .pull_back = pull_back};
  guidance->direction(stream, pulls_back ? direction_.data() : state.registers, at);
  if (pulls_back) pull_back(stream, state.registers, direction_.data());
}

bool MeasurementHooks::update(Stream& stream, const LoopState& state) {
  if (!in_update) return false;
  in_update->apply(stream, state.x, estimate_.data(), state.x, data(), scratch_, state.row, state.counter, state.n);
  return true;
}

bool MeasurementHooks::after_update(Stream& stream, const LoopState& state) {
  if (!after_row) return false;
  after_row->apply(stream, state.x, nullptr, state.x, data(), scratch_, state.row, state.counter, state.n);
  return true;
}

}  // namespace ito
