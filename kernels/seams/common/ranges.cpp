// SPDX-License-Identifier: Apache-2.0
// Ranges of every device library: NVTX where its headers are found (nothing happens there until a profiler injects
// itself) and a Chrome-trace timeline, off until started.
#include "kernels/seams/ranges.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/error.h"

#if ITO_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace ito {
namespace {

#if ITO_NVTX
nvtxDomainHandle_t nvtx_domain() {
  static const nvtxDomainHandle_t domain = nvtxDomainCreateA("ito");
  return domain;
}
void nvtx_push(const char* name) {
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_ASCII;
  event.message.ascii = name;
  nvtxDomainRangePushEx(nvtx_domain(), &event);
}
void nvtx_pop() {
  nvtxDomainRangePop(nvtx_domain());
}
void nvtx_name_thread(const char* name) {
  nvtxNameOsThreadA(static_cast<uint32_t>(syscall(SYS_gettid)), name);
}
#else
void nvtx_push(const char*) {}
void nvtx_pop() {}
void nvtx_name_thread(const char*) {}
#endif

using Clock = std::chrono::steady_clock;

struct Timeline {
  std::mutex mutex;
  std::atomic<int> recording{0};  // 0: off; else the number of the recording, so that a late pop is told apart
  int recordings = 0;
  Clock::time_point origin;
  std::vector<TimelineEvent> events;
  std::map<int, std::string> threads;  // names, by number
  std::function<size_t()> count;       // set while nothing is recorded
};

Timeline& timeline() {
  static Timeline* timeline = new Timeline;
  return *timeline;
}

struct Open {
  int recording;  // 0: the timeline was off
  Clock::time_point start;
  std::string name;
  size_t first_node;
};

std::vector<Open>& open_ranges() {
  thread_local std::vector<Open> open;
  return open;
}

int thread_number() {
  static std::atomic<int> next{1};
  thread_local const int number = next++;
  return number;
}

double microseconds(Clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

void range_push(const char* name) {
  const int recording = timeline().recording.load(std::memory_order_acquire);
  const size_t node = recording && timeline().count ? timeline().count() : 0;
  open_ranges().push_back({recording, recording ? Clock::now() : Clock::time_point{}, name, node});
  nvtx_push(name);
}

void range_pop() noexcept {
  std::vector<Open>& open = open_ranges();
  if (open.empty()) return;
  nvtx_pop();
  Open range = std::move(open.back());
  open.pop_back();
  Timeline& line = timeline();
  if (range.recording == 0 || range.recording != line.recording.load(std::memory_order_acquire)) return;
  const Clock::time_point now = Clock::now();
  try {
    TimelineEvent event;
    event.name = std::move(range.name);
    for (const Open& outer : open) event.inside.push_back(outer.name);
    event.start_us = microseconds(range.start - line.origin);
    event.duration_us = microseconds(now - range.start);
    event.thread = thread_number();
    event.first_node = range.first_node;
    event.end_node = line.count ? line.count() : 0;
    const std::lock_guard lock(line.mutex);
    line.events.push_back(std::move(event));
  } catch (...) {  // no memory for the event, or no count: the timeline loses it, the run goes on
  }
}

std::string open_range_names() {
  std::string names;
  for (const Open& range : open_ranges()) names += (names.empty() ? "" : " > ") + range.name;
  return names;
}

void timeline_start() {
  Timeline& line = timeline();
  const std::lock_guard lock(line.mutex);
  line.events.clear();
  line.origin = Clock::now();
  line.recording.store(++line.recordings, std::memory_order_release);
}

std::vector<TimelineEvent> timeline_take() {
  Timeline& line = timeline();
  const std::lock_guard lock(line.mutex);
  line.recording.store(0, std::memory_order_release);
  return std::exchange(line.events, {});
}

void timeline_counts(std::function<size_t()> count) {
  timeline().count = std::move(count);
}

void name_thread(const char* name) {
  nvtx_name_thread(name);
  Timeline& line = timeline();
  const std::lock_guard lock(line.mutex);
  line.threads[thread_number()] = name;
}

void timeline_write(const std::string& path) {
  timeline_save(timeline_take(), path);
}

void timeline_save(const std::vector<TimelineEvent>& events, const std::string& path) {
  std::map<int, std::string> threads;
  {
    const std::lock_guard lock(timeline().mutex);
    threads = timeline().threads;
  }
  FILE* file = fopen(path.c_str(), "w");
  ITO_USER_CHECK(file, "timeline: cannot write '", path, "': ", strerror(errno));
  bool good = fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", file) >= 0;
  for (size_t i = 0; i < events.size(); ++i) {
    const TimelineEvent& e = events[i];
    good = good && fprintf(file, "%s\n{\"name\":%s,\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f}",
                           i ? "," : "", json_string(e.name).c_str(), e.thread, e.start_us, e.duration_us) > 0;
  }
  bool first = events.empty();
  for (const auto& [thread, name] : threads) {
    good =
        good && fprintf(file, "%s\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"args\":{\"name\":%s}}",
                        first ? "" : ",", thread, json_string(name).c_str()) > 0;
    first = false;
  }
  good = good && fputs("\n]}\n", file) >= 0;
  const bool closed = fclose(file) == 0;
  ITO_USER_CHECK(good && closed, "timeline: writing '", path, "' failed: ", strerror(errno));
}

}  // namespace ito
