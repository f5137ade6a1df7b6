// SPDX-License-Identifier: Apache-2.0
// What the numbers of a run depend on, and whether a run may go on from a checkpoint: seed, data, architecture, batch,
// precision, optimiser, learning rate, noise schedule, loss, weights and draw of levels, flips. Threads, micro-batch
// and the intervals of logs, previews and checkpoints are free. steps belongs to it where the learning rate
// stretches with it. So do the kernels that compute them, unless other_kernels says that they
// may differ.
#pragma once
#include <functional>

#include "engine/checkpoint/snapshot.h"
#include "engine/diffusion/scheduler_config.h"
#include "engine/program/program.h"
#include "engine/run/run_config.h"

namespace ito {

struct RunIdentity {
  uint64_t seed = 0, data_fingerprint = 0;
  std::function<bool(uint64_t)> same_data = {};  // whether another fingerprint is of the same data; null: no other is
  Json architecture;                             // the component's config.json
  Json scheduler;                                // scheduler_config.json
  Json numbers;                                  // RunConfig::numbers()
  Json before;                                   // RunConfig::before(): what a config.json without the key means
  uint64_t configuration_hash = 0;
  std::string kernels;         // kernel_choices(), and a hash of what runs each op
  bool other_kernels = false;  // RunConfig's
};
RunIdentity identity_of(const RunConfig& run, const Json& architecture, const SchedulerConfig& scheduler,
                        const Program& program, uint64_t data_fingerprint);

// UserError naming the first difference with both values. stored_config: OUT/config.json, or null where it is gone
// (then a difference in `numbers` is told by the hash alone).
void check_architecture(const RunIdentity& now, const std::string& checkpoint, const Json& stored_architecture);
void check_scheduler(const RunIdentity& now, const std::string& checkpoint, const SchedulerConfig& stored);
void check_identity(const RunIdentity& now, const TrainingSnapshot& snapshot, const Json& stored_config,
                    const std::string& checkpoint);
// UserError if the checkpoint's kernels are others and may not be; a line on stderr if they may.
void check_kernels(const RunIdentity& now, const TrainingSnapshot& snapshot, const std::string& checkpoint);

}  // namespace ito
