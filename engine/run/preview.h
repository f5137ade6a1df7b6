// SPDX-License-Identifier: Apache-2.0
// The pictures that a training run draws of itself: a few images by the averaged weights, of the same numbers each
// time.
#pragma once
#include <optional>
#include <string>

#include "engine/diffusion/schedule.h"
#include "engine/reverse/reverse_process.h"
#include "engine/training/trainer.h"

namespace ito {

class Preview {
 public:
  // Made before training begins, so that a lack of memory shows then (UserError). capture: as ReverseSettings has it.
  // labels: (N, label_width) of the data, where the network takes real-valued ones; images have the first in turn.
  Preview(const Trainer& trainer, const Network& network, const NoiseSchedule& schedule, uint64_t seed, bool capture,
          size_t memory_limit, const std::vector<float>& labels = {});
  void write(Trainer& trainer, const std::string& path);  // a PNG grid

 private:
  Network network_;
  std::vector<float> labels_;  // of every image, where the network takes real-valued ones
  ReverseProcess process_;
};

// UserError for a schedule that previews cannot be drawn from: before there is a folder.
void check_preview(const NoiseSchedule& schedule);

std::string preview_name(int64_t step);                           // samples-000600.png
std::optional<int64_t> step_of_preview(const std::string& name);  // nothing for another name

}  // namespace ito
