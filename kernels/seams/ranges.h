// SPDX-License-Identifier: Apache-2.0
// The ranges seam: names on a timeline. Launch verbs open one range a launch; the engine opens one a layer. Where
// NVTX is present, a profiler sees the same ranges in the domain "ito".
#pragma once
#include <string>

namespace ito {

void range_push(const char* name);
void range_pop() noexcept;
std::string open_range_names();  // this thread's, outermost first: "step > down_blocks.0 > conv_forward"

class Range {
 public:
  explicit Range(const char* name) { range_push(name); }
  explicit Range(const std::string& name) { range_push(name.c_str()); }
  ~Range() { range_pop(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

// The Chrome-trace timeline (chrome://tracing, Perfetto): off until started; write stops it and saves the file.
void timeline_start();
void timeline_write(const std::string& path);

}  // namespace ito
