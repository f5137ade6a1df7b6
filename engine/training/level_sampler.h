// SPDX-License-Identifier: Apache-2.0
// The draw of levels on the device: its table of chances, and what one that follows the losses keeps from step to step.
#pragma once
#include "engine/diffusion/level_losses.h"
#include "engine/program/buffer_list.h"
#include "engine/training/level_draw.h"
#include "kernels/diffusion/noising.h"

namespace ito {

class LevelSampler {
 public:
  LevelSampler(const LevelDrawChoice& choice, const Levels& levels);

  void declare(BufferList& buffers);
  // After the allocation, and to forget what was learnt.
  void start(Stream& stream);
  // Of a whole step's images; see draw_levels.
  void draw(Stream& stream, ForwardRow* rows, const ForwardRow* table, const SampleCounter& counter, int n);
  // After the step: loss (N) and rows (N) of all its images; apply in device memory, 0 if the step is skipped.
  void learn(Stream& stream, const float* loss, const ForwardRow* rows, const int32_t* apply, int n);

  LevelLosses losses(Stream& stream) const;
  void set_losses(Stream& stream, const LevelLosses& losses);  // UserError for those of another draw or table

 private:
  void make_chances(Stream& stream);

  LevelDrawChoice choice_;
  int levels_;
  std::vector<uint64_t> fixed_;  // thresholds; empty: uniform, or learnt
  DeviceBuffer<uint64_t> thresholds_;
  DeviceBuffer<float> scale_, losses_;
  DeviceBuffer<int32_t> counts_;
};

}  // namespace ito
