// SPDX-License-Identifier: Apache-2.0
// The batches of a run in their order, each gathered by a thread while the step before runs: two slots of memory that
// the device copies from. What a step gets is a function of the seed and its number alone.
#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "engine/data/dataset.h"
#include "engine/data/order.h"
#include "engine/program/device_buffer.h"
#include "engine/ranks/subtrees.h"
#include "engine/training/train_batch.h"

namespace ito {

class BatchFeed {
 public:
  // Of the steps first .. last-1, `batch` images each: image i of step s is at the order's position s * batch + i, and
  // those of `own` are gathered. data outlives the feed.
  BatchFeed(const Dataset& data, uint64_t seed, int batch, IndexRange own, bool labels, int64_t first, int64_t last);
  BatchFeed(const Dataset& data, uint64_t seed, int batch, bool labels, int64_t first, int64_t last)
      : BatchFeed(data, seed, batch, {0, batch}, labels, first, last) {}
  ~BatchFeed();
  BatchFeed(const BatchFeed&) = delete;
  BatchFeed& operator=(const BatchFeed&) = delete;

  // The next step's batch. It holds until the next call, which waits until `stream` has read it. Throws what the thread
  // threw.
  TrainBatch next(Stream& stream);
  // For how long, in all, the device has had nothing to do because a batch was not there.
  double seconds_waited() const { return waited_; }

  static size_t bytes(const Dataset& data, int64_t images, bool labels);  // of the slots

 private:
  static constexpr int kSlots = 2;
  struct Slot {
    HostBuffer<uint8_t> bytes;
    HostBuffer<float> numbers;
    HostBuffer<int32_t> labels;
    HostBuffer<float> values;  // in the place of labels, where the data set has real ones
    Event taken{"batch taken"};
  };

  Slot& slot_of(int64_t step) { return slots_[step % kSlots]; }
  void gather_all();  // the thread
  void gather(int64_t step);
  void wait_for(int64_t step, Stream& stream);

  const Dataset& data_;
  DataOrder order_;  // the thread's
  int batch_;
  IndexRange own_;  // of a batch
  int64_t last_;
  int64_t next_;  // this and the next two are the caller's
  double waited_ = 0;
  Slot* last_taken_ = nullptr;
  Slot slots_[kSlots];

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  int64_t gathered_;  // steps before it are there
  int64_t free_;      // steps before it have a slot that may be written
  bool ends_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: it begins when all else is there
};

}  // namespace ito
