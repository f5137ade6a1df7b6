// SPDX-License-Identifier: Apache-2.0
// Images from measurements: a network, an operator, a solver's plan, and as many draws of every measurement as wanted,
// in batches of one size. Draw d of measurement m is a function of (seed, m, d) alone, whatever the batch and the
// number of draws. Mean and standard deviation of a measurement's draws are made on the device.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/inverse/solver.h"
#include "engine/program/denoiser.h"
#include "engine/reverse/row_loop.h"

namespace ito {

inline constexpr int kMostDraws = 4096;
inline constexpr int64_t kMostMeasurements = int64_t{1} << 20;

struct RestoreSettings {
  int draws = 1;   // of each measurement
  int batch = 64;  // images at most that the network sees at once
  uint64_t seed = 0;
  DType compute = DType::F32;
  bool capture = true;             // false: launch every kernel of every row anew (the same bits)
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
  size_t kept_bytes = 0;           // that the caller keeps in the same memory, for that sum
};

// Of some measurements, one after the other; (H, W, C) each.
struct Restored {
  std::vector<float> samples;    // (count, draws, size)
  std::vector<float> mean;       // (count, size)
  std::vector<float> deviation;  // (count, size), with draws - 1 below the root; 0 for one draw
};

class Restoration {
 public:
  // weights: an arena in device memory that outlives this object, as does op, which the plan was made for.
  Restoration(const Network& network, const float* weights, MeasurementOperator& op, RestorePlan plan,
              const RestoreSettings& settings);

  int group() const { return group_; }  // measurements that are restored at once
  // Measurements first .. first+count-1, count at most group(). y (count, M) as the device has them; labels (count)
  // as the network has them. watch: of the first batch, whose rows go out one by one if there is one. Error naming the
  // measurement and the row if a number is not finite.
  Restored restore(int64_t first, int64_t count, const float* y, const LabelRows& labels, const RowWatch& watch = {});

  int64_t rows_done() const { return loop_.rows_done(); }  // in all batches; another thread may ask
  int64_t rows_of(int64_t count) const;                    // that `count` measurements take
  Stream& stream() { return loop_.stream(); }
  int images_at_once() const { return denoiser_.batch(); }

 private:
  [[noreturn]] void report_not_finite(const BatchStart& start, int64_t first, int64_t count, int first_draw);

  RestoreSettings settings_;
  RestorePlan plan_;
  MeasurementOperator& op_;
  int group_, chunk_;  // measurements and draws of a batch
  BufferList buffers_;
  Denoiser denoiser_;
  RowLoop loop_;
  DeviceBuffer<double> moments_;          // mean and sum of squares, (group, size) each
  DeviceBuffer<float> mean_, deviation_;  // (group, size)
};

}  // namespace ito
