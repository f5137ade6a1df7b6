// SPDX-License-Identifier: Apache-2.0
// The ranges seam: names on a timeline. Launch verbs open one range a launch; the engine opens one a layer. Where
// NVTX is present, a profiler sees the same ranges in the domain "ito".
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

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

// A range that has ended, for who makes a table of the timeline.
struct TimelineEvent {
  std::string name;
  std::vector<std::string> inside;  // names of the ranges around it, outermost first
  double start_us = 0, duration_us = 0;
  int thread = 0;
  size_t first_node = 0, end_node = 0;  // what timeline_counts gave at its start and end
};
// Stops the timeline; in the order in which the ranges ended.
std::vector<TimelineEvent> timeline_take();
void timeline_save(const std::vector<TimelineEvent>& events, const std::string& path);
// Asked at both ends of every recorded range, by the range's thread: how many nodes a capture has so far. Empty: none.
void timeline_counts(std::function<size_t()> count);

// This thread's name, for a profiler and for the timeline.
void name_thread(const char* name);

}  // namespace ito
