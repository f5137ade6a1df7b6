// SPDX-License-Identifier: Apache-2.0
// A run's TensorBoard folder: its curves and sample grids, a file of events for each start of the run. What a start
// finds of steps that it will do anew is void, as TensorBoard has it.
#pragma once
#include <optional>
#include <string>

#include "engine/io/event_file.h"
#include "engine/io/json_file.h"

namespace ito {

class EventLog {
 public:
  // Makes the folder, and in it the next file. done: steps that stay.
  EventLog(const std::string& folder, int64_t done);

  // Lines of metrics.jsonl and timings.jsonl, of one step.
  void add(const Json& metrics, const Json& timings);
  void add_picture(int64_t step, const std::string& png_file);

 private:
  std::optional<EventFile> file_;
};

}  // namespace ito
