// SPDX-License-Identifier: Apache-2.0
// Tells how far the reading of a data set is, once it takes longer than a moment.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "engine/data/load_dataset.h"

namespace ito {

class ReadingWatch {
 public:
  explicit ReadingWatch(std::string name);  // of the data set
  ~ReadingWatch();                          // ends the line, if there is one
  ReadingWatch(const ReadingWatch&) = delete;
  ReadingWatch& operator=(const ReadingWatch&) = delete;

  LoadProgress* progress() { return &progress_; }

 private:
  void run();
  bool finished_within(int milliseconds);

  std::string name_;
  LoadProgress progress_;
  std::mutex mutex_;
  std::condition_variable finished_;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace ito
