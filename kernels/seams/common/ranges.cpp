// SPDX-License-Identifier: Apache-2.0
// Ranges of every device library: NVTX where its headers are found (nothing happens there until a profiler injects
// itself) and a Chrome-trace timeline, off until started.
#include "kernels/seams/ranges.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
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
#else
void nvtx_push(const char*) {}
void nvtx_pop() {}
#endif

using Clock = std::chrono::steady_clock;

struct Event {
  std::string name;
  double start_us, duration_us;
  int thread;
};

struct Timeline {
  std::mutex mutex;
  std::atomic<int> recording{0};  // 0: off; else the number of the recording, so that a late pop is told apart
  int recordings = 0;
  Clock::time_point origin;
  std::vector<Event> events;
};

Timeline& timeline() {
  static Timeline* timeline = new Timeline;
  return *timeline;
}

struct Open {
  int recording;  // 0: the timeline was off
  Clock::time_point start;
  std::string name;
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
  open_ranges().push_back({recording, recording ? Clock::now() : Clock::time_point{}, name});
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
    const std::lock_guard lock(line.mutex);
    line.events.push_back({std::move(range.name), microseconds(range.start - line.origin),
                           microseconds(now - range.start), thread_number()});
  } catch (...) {  // no memory for the event: the timeline loses it, the run goes on
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

void timeline_write(const std::string& path) {
  Timeline& line = timeline();
  std::vector<Event> events;
  {
    const std::lock_guard lock(line.mutex);
    line.recording.store(0, std::memory_order_release);
    events.swap(line.events);
  }
  FILE* file = fopen(path.c_str(), "w");
  ITO_USER_CHECK(file, "timeline: cannot write '", path, "': ", strerror(errno));
  bool good = fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", file) >= 0;
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& e = events[i];
    good = good && fprintf(file, "%s\n{\"name\":%s,\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f}",
                           i ? "," : "", json_string(e.name).c_str(), e.thread, e.start_us, e.duration_us) > 0;
  }
  good = good && fputs("\n]}\n", file) >= 0;
  const bool closed = fclose(file) == 0;
  ITO_USER_CHECK(good && closed, "timeline: writing '", path, "' failed: ", strerror(errno));
}

}  // namespace ito
