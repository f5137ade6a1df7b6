// SPDX-License-Identifier: Apache-2.0
// The sub-commands of `ito`, one file each: every function adds its options to the application and the work to do when
// it was chosen. Options and their JSON spelling: --checkpoint-every is checkpoint_every. A command that is
// given the ranks is one that mpirun may start several times; the others run alone.
#pragma once
#include <CLI/CLI.hpp>
#include <exception>

#include "kernels/seams/comm.h"

namespace ito {

// Thrown where a command ends, all done, with another exit code than 0.
struct EndWith : std::exception {
  explicit EndWith(int exit_code) : code(exit_code) {}
  int code;
};

void add_train_command(CLI::App& app, Communicator& ranks);
void add_bench_command(CLI::App& app, Communicator& ranks);
void add_sample_command(CLI::App& app, Communicator& ranks);
void add_predict_command(CLI::App& app, Communicator& ranks);
void add_reverse_stats_command(CLI::App& app, Communicator& ranks);
void add_likelihood_command(CLI::App& app, Communicator& ranks);
void add_restore_command(CLI::App& app, Communicator& ranks);
void add_inspect_command(CLI::App& app);
void add_convert_command(CLI::App& app);
void add_decode_command(CLI::App& app);
void add_ema_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_measure_command(CLI::App& app);
void add_pack_command(CLI::App& app);
void add_profile_command(CLI::App& app);

}  // namespace ito
