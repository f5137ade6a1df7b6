// SPDX-License-Identifier: Apache-2.0
// See delivery.h.
#include "engine/reverse/delivery.h"

#include <algorithm>

#include "kernels/diffusion/pack.h"

namespace ito {

Delivery::Delivery(size_t count, Delivered what, BufferList& buffers) : what_(what) {
  ITO_CHECK(what.numbers || what.bytes, "a delivery of nothing");
  for (Slot& slot : slots_) {
    if (what.numbers) {
      buffers.add(slot.numbers, count, "finished images");
      buffers.add(slot.host_numbers, count, "finished images");
    }
    if (what.bytes) {
      buffers.add(slot.bytes, count, "finished images");
      buffers.add(slot.host_bytes, count, "finished images");
    }
  }
}

void Delivery::send(Stream& stream, const float* x) {
  ITO_CHECK(waiting() < 2, "a third batch sent before the first was collected");
  Slot& slot = slots_[sent_ % 2];
  if (sent_ >= 2) stream.wait(slot.copied);
  if (what_.numbers) copy_on_device(stream, slot.numbers.data(), x, slot.numbers.bytes());
  if (what_.bytes) pack_uint8(stream, slot.bytes.data(), x, static_cast<int64_t>(slot.bytes.count()));
  stream.record(ready_);
  copies_.wait(ready_);
  if (what_.numbers) enqueue_copy_to_host(copies_, slot.host_numbers.data(), slot.numbers.data(), slot.numbers.bytes());
  if (what_.bytes) enqueue_copy_to_host(copies_, slot.host_bytes.data(), slot.bytes.data(), slot.bytes.bytes());
  copies_.record(slot.copied);
  ++sent_;
}

void Delivery::collect(size_t n, float* numbers, uint8_t* bytes) {
  ITO_CHECK(collected_ < sent_, "a batch collected that was never sent");
  const Slot& slot = slots_[collected_ % 2];
  copies_.synchronize(slot.copied);
  if (numbers) std::copy_n(slot.host_numbers.data(), n, numbers);
  if (bytes) std::copy_n(slot.host_bytes.data(), n, bytes);
  ++collected_;
}

}  // namespace ito
