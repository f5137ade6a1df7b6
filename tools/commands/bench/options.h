// SPDX-License-Identifier: Apache-2.0
// What `ito bench` was asked for, and the kinds of work it knows, a file each.
#pragma once
#include <string>

#include "kernels/seams/comm.h"

namespace ito {

struct BenchOptions {
  std::string model = "demo", precision = "fp32", what = "train", name, timeline, against, peer_python = "python3",
              peer_script, peer_data, tune, data;
  int batch = 64, repetitions = 20, threads = 0, size = 0, largest = 0;
  bool serve = false, json = false, counts = false;
  Communicator* ranks = nullptr;  // several, of which each has its images of a training step; null: this process alone
};

void measure_ceilings(const BenchOptions& options);
void measure_rows(const BenchOptions& options);
void measure_kernels(const BenchOptions& options);
void count_kernels(const BenchOptions& options);
void measure_data(const BenchOptions& options);
void measure_models(const BenchOptions& options);
void serve_models(const BenchOptions& options);
void measure_against(const BenchOptions& options);
void tune_kernels(const BenchOptions& options);
void check_kernel_name(const std::string& name);  // UserError with the names; "" is all of them
void check_against(const BenchOptions& options);

}  // namespace ito
