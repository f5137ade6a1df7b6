// SPDX-License-Identifier: Apache-2.0
// What a solver does around the rows of the reverse loop because of a measurement, put together from parts: an edit of
// the state at the start, in place of the row's update or after it, and a guidance, whose gradient a row adds to its
// update through register 0. Everything is launched without a look at the data, and captured with the loop.
#pragma once
#include <memory>
#include <optional>

#include "engine/inverse/guidance.h"
#include "engine/inverse/state_edit.h"

namespace ito {

class MeasurementHooks : public LoopHooks {
 public:
  // op outlives the hooks. Before plan(): the parts that the solver has.
  explicit MeasurementHooks(MeasurementOperator& op) : op_(op) {}
  std::optional<StateEdit> at_start;   // of x, the first state; at row 0 of its plan
  std::optional<StateEdit> in_update;  // of the estimate and the state, in place of the row's update
  std::optional<StateEdit> after_row;  // of the state
  std::unique_ptr<Guidance> guidance;  // fills register 0
  bool pulls_back = true;              // through the network's Jacobian; false: with the direction itself

  bool needs_gradient() const { return guidance && pulls_back; }  // of the denoiser, by its input
  // The denoiser outlives the hooks. rows: of the loop, and of the parts that act in every one.
  virtual void plan(Denoiser& denoiser, int rows, BufferList& buffers);
  virtual void prepare(Stream& stream);
  // Of the next batch: y (N, M) and the images' sample words (N), both on the host.
  void set_batch(Stream& stream, const float* y, const uint32_t* words);

  const uint32_t* image_words() const override { return words_.data(); }
  void start(Stream& stream, const LoopState& state) override;
  void after_estimate(Stream& stream, const LoopState& state) override;
  bool update(Stream& stream, const LoopState& state) override;
  bool after_update(Stream& stream, const LoopState& state) override;

 protected:
  MeasurementOperator& op() { return op_; }
  const float* y() const { return y_.data(); }
  EditScratch& scratch() { return scratch_; }
  EstimateInputs inputs(const LoopState& state) const;

 private:
  EditData data() const { return {.y = y_.data(), .ybar = ybar_.data()}; }
  bool estimates() const { return guidance || in_update; }

  MeasurementOperator& op_;
  Denoiser* denoiser_ = nullptr;
  EditScratch scratch_;
  DeviceBuffer<uint32_t> words_;
  DeviceBuffer<float> y_, ybar_, estimate_, direction_;
};

}  // namespace ito
