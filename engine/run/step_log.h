// SPDX-License-Identifier: Apache-2.0
// A file of JSON lines, one a logged step (metrics.jsonl, timings.jsonl), that a resumed run cuts back and goes on
// with.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_file.h"

namespace ito {

class StepLog {
 public:
  StepLog() = default;
  ~StepLog();
  StepLog(const StepLog&) = delete;
  StepLog& operator=(const StepLog&) = delete;

  // Opens or creates the file. Lines of steps after last_step go, and so does a last line that was cut short; what
  // stays is returned. UserError if a line before that is not {"step": larger than the one before, ...}.
  std::vector<Json> open(const std::string& path, int64_t last_step);
  void append(const Json& line);
  void sync();  // to the disk: a checkpoint must not survive a power cut that its lines do not

 private:
  [[noreturn]] void fail_append(size_t part);

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace ito
