// SPDX-License-Identifier: Apache-2.0
// See batch_feed.h. The thread reads the data set and writes slots; it makes no launches and asks no library. The
// caller alone waits for the device, so that no stream is looked at from two threads.
#include "engine/training/batch_feed.h"

#include <algorithm>
#include <chrono>

#include "kernels/error.h"

namespace ito {

BatchFeed::BatchFeed(const Dataset& data, uint64_t seed, int batch, IndexRange own, bool labels, int64_t first,
                     int64_t last)
    : data_(data),
      order_(seed, data.count),
      batch_(batch),
      own_(own),
      last_(last),
      next_(first),
      gathered_(first),
      free_(first + kSlots) {
  ITO_CHECK(!labels || !data.labels.empty() || !data.label_values.empty(), data.name,
            ": has no labels for a network that is trained with them");
  const size_t numbers = static_cast<size_t>(own.count * data.image_size());
  for (Slot& slot : slots_) {
    if (data.pixels_f32.empty())
      slot.bytes = {numbers, "a batch of images"};
    else
      slot.numbers = {numbers, "a batch of images"};
    if (labels && data.label_width > 0)
      slot.values = {static_cast<size_t>(own.count * data.label_width), "a batch's labels"};
    else if (labels)
      slot.labels = {static_cast<size_t>(own.count), "a batch's labels"};
  }
  thread_ = std::thread([this] { gather_all(); });
}

BatchFeed::~BatchFeed() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

size_t BatchFeed::bytes(const Dataset& data, int64_t images, bool labels) {
  const size_t image = static_cast<size_t>(data.image_size()) * (data.pixels_f32.empty() ? 1 : sizeof(float));
  return kSlots * static_cast<size_t>(images) *
         (image + (labels ? sizeof(int32_t) * std::max(1, data.label_width) : 0));
}

// The batch before is given back here and not when its step is enqueued, so that waiting for its copy leaves the device
// a whole step to do.
TrainBatch BatchFeed::next(Stream& stream) {
  const int64_t step = next_;
  ITO_CHECK(step < last_, "a batch of step ", step, " asked of a feed that ends before it");
  if (last_taken_) {
    stream.synchronize(last_taken_->taken);
    const std::lock_guard lock(mutex_);
    ++free_;
  }
  changed_.notify_all();
  wait_for(step, stream);
  ++next_;
  Slot& slot = slot_of(step);
  last_taken_ = &slot;
  LabelRows labels(slot.labels.data());
  labels.values = slot.values.data();
  return {slot.bytes.data(), slot.numbers.data(), labels, &slot.taken};
}

// Time counts once the device has done all it was given: until then nothing waits but the host.
void BatchFeed::wait_for(int64_t step, Stream& stream) {
  const auto is_there = [&] { return gathered_ > step || error_; };
  std::unique_lock lock(mutex_);
  if (!is_there()) {
    lock.unlock();
    stream.synchronize();
    const auto start = std::chrono::steady_clock::now();
    lock.lock();
    changed_.wait(lock, is_there);
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  if (gathered_ <= step) std::rethrow_exception(error_);
}

void BatchFeed::gather_all() {
  std::unique_lock lock(mutex_);
  try {
    for (int64_t step = gathered_; step < last_; ++step) {
      changed_.wait(lock, [&] { return ends_ || step < free_; });
      if (ends_) return;
      lock.unlock();
      gather(step);
      lock.lock();
      gathered_ = step + 1;
      changed_.notify_all();
    }
  } catch (...) {
    if (!lock) lock.lock();
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

void BatchFeed::gather(int64_t step) {
  Slot& slot = slot_of(step);
  const int64_t size = data_.image_size();
  for (int64_t i = 0; i < own_.count; ++i) {
    const int64_t index = order_.index(step * batch_ + own_.first + i);
    if (slot.bytes.data())
      std::copy_n(&data_.pixels[index * size], size, slot.bytes.data() + i * size);
    else
      std::copy_n(&data_.pixels_f32[index * size], size, slot.numbers.data() + i * size);
    if (slot.labels.data()) slot.labels.data()[i] = data_.labels[index];
    if (slot.values.data())
      std::copy_n(&data_.label_values[index * data_.label_width], data_.label_width,
                  slot.values.data() + i * data_.label_width);
  }
}

}  // namespace ito
