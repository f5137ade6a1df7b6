// SPDX-License-Identifier: Apache-2.0
// See batch_feed.h. The threads read the data set and write slots; they make no launches and ask no library. The caller
// alone waits for the device, so that no stream is looked at from two threads.
#include "engine/training/batch_feed.h"

#include <algorithm>
#include <chrono>

#include "kernels/error.h"

namespace ito {

BatchFeed::BatchFeed(const Dataset& data, uint64_t seed, int batch, IndexRange own, bool labels, int64_t first,
                     int64_t last, int threads)
    : data_(data),
      batch_(batch),
      own_(own),
      last_(last),
      next_(first),
      order_(seed, data.count),
      slots_(slot_count(data)),
      begun_(first),
      gathered_(first),
      free_(first + static_cast<int64_t>(slots_.size())) {
  ITO_CHECK(!labels || !data.labels.empty() || !data.label_values.empty(), data.name,
            ": has no labels for a network that is trained with them");
  ITO_CHECK(own.count > 0 && threads > 0, "batch feed: ", own.count, " images by ", threads, " threads");
  const size_t numbers = static_cast<size_t>(own.count * data.image_size());
  for (Slot& slot : slots_) {
    if (data.byte_images())
      slot.bytes = {numbers, "a batch of images"};
    else
      slot.numbers = {numbers, "a batch of images"};
    if (labels && data.label_width > 0)
      slot.values = {static_cast<size_t>(own.count * data.label_width), "a batch's labels"};
    else if (labels)
      slot.labels = {static_cast<size_t>(own.count), "a batch's labels"};
    slot.left = own.count;
  }
  for (int i = 0; i < (data.source ? threads : 1); ++i) threads_.emplace_back([this] { work(); });
}

BatchFeed::~BatchFeed() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

size_t BatchFeed::bytes(const Dataset& data, int64_t images, bool labels) {
  const size_t image = static_cast<size_t>(data.image_size()) * (data.byte_images() ? 1 : sizeof(float));
  return slot_count(data) * static_cast<size_t>(images) *
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
    slot_of(free_).left = own_.count;
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
  // Pieces are handed out in order: when none is under way, all before the one that failed have been fetched.
  const auto is_there = [&] { return gathered_ > step || (error_ && working_ == 0); };
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

void BatchFeed::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ends_ || error_ || begun_ >= last_ || begun_ < free_; });
    if (ends_ || error_ || begun_ >= last_) return;
    const int64_t position = begun_ * batch_ + own_.first + begun_images_;
    ++working_;
    std::exception_ptr failed;
    try {
      const Piece piece = take_piece();
      lock.unlock();
      gather(piece);
      lock.lock();
      slot_of(piece.step).left -= static_cast<int64_t>(piece.indices.size());
    } catch (...) {
      if (!lock) lock.lock();
      failed = std::current_exception();
    }
    --working_;
    if (failed && (!error_ || position < failed_at_)) {
      error_ = failed;
      failed_at_ = position;
    }
    const int64_t before = gathered_;
    while (gathered_ < std::min(begun_, free_) && slot_of(gathered_).left == 0) ++gathered_;
    if (error_ || gathered_ > before) changed_.notify_all();
  }
}

BatchFeed::Piece BatchFeed::take_piece() {
  Piece piece{begun_, begun_images_, {}};
  const int64_t count = std::min(own_.count - begun_images_, data_.source ? data_.source->run() : own_.count);
  for (int64_t i = 0; i < count; ++i)
    piece.indices.push_back(order_.index(begun_ * batch_ + own_.first + begun_images_ + i));
  begun_images_ += count;
  if (begun_images_ == own_.count) {
    begun_images_ = 0;
    ++begun_;
  }
  return piece;
}

void BatchFeed::gather(const Piece& piece) {
  Slot& slot = slot_of(piece.step);
  const int64_t size = data_.image_size();
  for (size_t i = 0; i < piece.indices.size(); ++i) {
    const int64_t index = piece.indices[i], place = piece.first + static_cast<int64_t>(i);
    if (slot.bytes.data())
      data_.image_bytes(index, slot.bytes.data() + place * size);
    else
      std::copy_n(&data_.pixels_f32[index * size], size, slot.numbers.data() + place * size);
    if (slot.labels.data()) slot.labels.data()[place] = data_.labels[index];
    if (slot.values.data())
      std::copy_n(&data_.label_values[index * data_.label_width], data_.label_width,
                  slot.values.data() + place * data_.label_width);
  }
}

}  // namespace ito
