// SPDX-License-Identifier: Apache-2.0
// The loader alone: batches of a data set as a training run gets them, and nothing done with them.
#pragma once
#include <memory>

#include "engine/data/dataset.h"
#include "engine/io/json_file.h"
#include "engine/training/batch_feed.h"
#include "tools/commands/bench/options.h"

namespace ito {

class DataBench {
 public:
  explicit DataBench(const BenchOptions& options);
  double run();                                         // seconds of an epoch's batches, whole ones
  int64_t images() const { return batches_ * batch_; }  // of them
  Json facts() const;

 private:
  Dataset data_;
  int batch_, threads_;
  int64_t batches_;
  Stream stream_;
  std::unique_ptr<BatchFeed> feed_;  // one for all epochs, as in training
};

}  // namespace ito
