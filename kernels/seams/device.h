// SPDX-License-Identifier: Apache-2.0
// The device seam: memory, streams, captured graphs. A program is linked with exactly one device library
// (cuda, cpu or sim), each of which defines these functions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/types.h"

namespace ito {

// A captured sequence of launches, replayed with the addresses it was captured with.
class Graph {
 public:
  struct Impl;
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  explicit operator bool() const { return impl_ != nullptr; }
  size_t nodes() const;  // launches inside; of a loop, those of one turn
  Impl* impl() const { return impl_.get(); }
  void reset(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

// A point in a stream's work.
class Event {
 public:
  struct Impl;
  explicit Event(const char* name = "event");  // name: what a profiler shows
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// An in-order queue of device work. Everything the engine does on the device goes through one.
class Stream {
 public:
  struct Impl;
  explicit Stream(const char* name = "stream");  // name: what a profiler shows
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Runs the launches once where that must precede their capture (a GPU loads code and libraries make their choices at
  // the first call); does nothing elsewhere.
  void warm(const std::function<void()>& launches);
  // Launches are recorded, not run, until end_capture. A stream that waits for an event of the capture records too, as
  // a branch of the same graph; the capture ends once its own stream has waited for an event after the branch's last
  // launch.
  void begin_capture();
  Graph end_capture();
  // Both around the launches; an error among them ends the capture and leaves the stream as it was.
  Graph capture(const std::function<void()>& launches);
  // A graph whose replay runs the launches `times` times in a row, with nothing from the host in between.
  Graph capture_loop(int times, const std::function<void()>& launches);
  void replay(const Graph& graph);       // enqueue the whole graph once
  void record(Event& event);             // the event is the point reached by what is enqueued now
  void wait(const Event& event);         // what is enqueued from now on runs after that point; the host goes on
  void synchronize();                    // the host waits; throws what a launch left behind
  void synchronize(const Event& event);  // likewise, for the event's point alone
  bool capturing() const;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Device memory, aligned to 256 bytes. Throws Error naming the size when there is none left.
// sim fills it with NaN bytes (0xFF) and puts redzones around it under ASan.
void* device_allocate(size_t bytes, const char* what);
void device_free(void* memory) noexcept;
size_t device_bytes_in_use();  // sum of live allocations
size_t device_peak_bytes();    // its high-water mark since the last device_reset_peak
void device_reset_peak();

// Host memory that copies from and to the device reach without the host's waiting (page-locked on a GPU), and that
// kernels may write. Throws Error naming the size when there is none left.
void* host_allocate(size_t bytes, const char* what);
void host_free(void* memory) noexcept;

void copy_to_device(Stream& stream, void* device, const void* host, size_t bytes);  // returns when host is reusable
// Returns at once; host, of host_allocate, is read when the stream reaches this point.
void enqueue_copy_to_device(Stream& stream, void* device, const void* host, size_t bytes);
void copy_to_host(Stream& stream, void* host, const void* device, size_t bytes);  // returns when host is filled
// Returns at once; host, of host_allocate, is filled once the stream reaches this point.
void enqueue_copy_to_host(Stream& stream, void* host, const void* device, size_t bytes);
void copy_on_device(Stream& stream, void* to, const void* from, size_t bytes);  // a launch; may be captured
void fill_bytes(Stream& stream, void* device, int byte, size_t bytes);          // a launch; may be captured

// Marks memory that the plan says holds nothing any more. sim fills it with NaN; elsewhere it does nothing.
void poison(Stream& stream, void* device, size_t bytes);

const char* device_name();  // "cpu", "sim" or the card's name
bool streams_overlap();     // on a GPU; elsewhere a launch of any stream has run when it is enqueued, or replayed
bool device_has_bf16();     // bf16 products in hardware; if not, the engine falls back to fp32
// Images a weight-gradient partial covers (a constant of the device library: 4 on cpu and sim, 16 on a GPU).
int images_per_chunk();
void set_device_threads(int threads);  // worker threads of cpu and sim; 0 = all cores. No effect on a GPU.
int device_threads();

}  // namespace ito
