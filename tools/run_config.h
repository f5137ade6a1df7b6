// SPDX-License-Identifier: Apache-2.0
// Everything a training run is told, with its defaults: the options of `ito train`, the keys of --config files and of
// OUT/config.json (the same words, dashes as underscores).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/json_file.h"

namespace ito {

struct RunConfig {
  std::string data, out;
  std::string model = "demo";
  int64_t steps = 10000;
  int batch = 128, micro_batch = 0;
  uint64_t seed = 0;
  double lr = 1e-4;
  std::string lr_schedule = "cosine";
  int64_t warmup = 500;
  std::vector<double> adam_betas{0.95, 0.999};
  double weight_decay = 1e-6;
  double grad_clip = 1.0;
  double ema_decay = 0.9999;
  std::string precision = "fp32";
  std::string prediction_type = "epsilon";
  std::string beta_schedule = "linear";
  bool flip = false;
  int resolution = 0;
  int64_t checkpoint_every = 1000;  // 0: at the end only
  int64_t log_every = 10;
  int64_t sample_every = 0;  // 0: a quarter of the run
  int64_t keep_last = 3;     // checkpoints; 0: all
  int64_t keep_every = 0;    // besides them those of these steps; 0: none
  int64_t max_skipped = 10;  // non-finite steps in a row that end the run; 0: never
  int threads = 0;
  bool eager = false;
  bool other_kernels = false;  // a resumed run may go on with kernels that round differently
  bool resume = false;         // of this start, not of the run: json() leaves it out

  Json json() const;  // every other value
};

}  // namespace ito
