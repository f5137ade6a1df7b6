// SPDX-License-Identifier: Apache-2.0
// How finished images leave the device: two slots, so that a batch goes out on a stream of its own while the next one
// runs. As numbers, as the bytes of a picture (a quarter of the traffic), or as both.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/program/buffer_list.h"

namespace ito {

// What leaves, of every image.
struct Delivered {
  bool numbers = true, bytes = false;
};

class Delivery {
 public:
  // count: numbers a batch. Declares its memory in `buffers`.
  Delivery(size_t count, Delivered what, BufferList& buffers);

  // Enqueues the sending of x (count) on the stream, which may overwrite it at once; at most two batches may be on
  // their way.
  void send(Stream& stream, const float* x);
  // Waits for the oldest batch that was sent, and gives its first n numbers and bytes; null where they were not asked
  // for.
  void collect(size_t n, float* numbers, uint8_t* bytes);
  int64_t waiting() const { return sent_ - collected_; }

 private:
  struct Slot {
    DeviceBuffer<float> numbers;
    DeviceBuffer<uint8_t> bytes;
    HostBuffer<float> host_numbers;
    HostBuffer<uint8_t> host_bytes;
    Event copied{"batch copied"};
  };
  Delivered what_;
  Stream copies_{"copies of batches"};
  Event ready_{"batch ready"};
  Slot slots_[2];
  int64_t sent_ = 0, collected_ = 0;
};

}  // namespace ito
