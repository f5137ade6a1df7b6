// SPDX-License-Identifier: Apache-2.0
// Training by the library: a trainer and the folder of its run, which the caller gives images.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "engine/run/run_folder.h"
#include "engine/training/trainer.h"
#include "kernels/seams/comm.h"
#include "models/model.h"
#include "tools/library/ito.h"
#include "tools/library/option_list.h"

namespace ito {

class LibraryTrainer {
 public:
  LibraryTrainer(const std::string& model, OptionList options);

  ito_facts facts() const;
  int64_t images() const { return run_.batch; }
  void step(const float* images, const int32_t* labels);  // planar
  int64_t steps_done() const { return done_; }
  double loss();  // since it was last asked, which is a line of the run's metrics
  void save();

 private:
  double seconds() const;

  RunConfig run_;
  Network network_;
  int timesteps_ = 0;
  Communicator alone_;
  std::optional<Trainer> trainer_;
  std::optional<RunFolder> folder_;
  int64_t done_ = 0, logged_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace ito
