// SPDX-License-Identifier: Apache-2.0
// The batches of a run in their order, gathered by threads while the steps before run: slots of memory that the device
// copies from. What a step gets is a function of the seed and its number alone, not of the threads.
#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/data/order.h"
#include "engine/program/device_buffer.h"
#include "engine/ranks/subtrees.h"
#include "engine/training/train_batch.h"

namespace ito {

class BatchFeed {
 public:
  // Of the steps first .. last-1, `batch` images each: image i of step s is at the order's position s * batch + i, and
  // those of `own` are gathered, and no others looked at. threads: that fetch images which are not in memory; those
  // that are need one. data outlives the feed.
  BatchFeed(const Dataset& data, uint64_t seed, int batch, IndexRange own, bool labels, int64_t first, int64_t last,
            int threads = 1);
  BatchFeed(const Dataset& data, uint64_t seed, int batch, bool labels, int64_t first, int64_t last, int threads = 1)
      : BatchFeed(data, seed, batch, {0, batch}, labels, first, last, threads) {}
  ~BatchFeed();
  BatchFeed(const BatchFeed&) = delete;
  BatchFeed& operator=(const BatchFeed&) = delete;

  // The next step's batch. It holds until the next call, which waits until `stream` has read it. Throws what a thread
  // threw, of several that image which is first in the order.
  TrainBatch next(Stream& stream);
  // For how long, in all, the device has had nothing to do because a batch was not there.
  double seconds_waited() const { return waited_; }

  static size_t bytes(const Dataset& data, int64_t images, bool labels);  // of the slots

 private:
  struct Slot {
    HostBuffer<uint8_t> bytes;
    HostBuffer<float> numbers;
    HostBuffer<int32_t> labels;
    HostBuffer<float> values;  // in the place of labels, where the data set has real ones
    int64_t left = 0;          // images still to be fetched
    Event taken{"batch taken"};
  };
  // A thread's piece of a batch.
  struct Piece {
    int64_t step, first;
    std::vector<int64_t> indices;  // in the data set
  };

  static size_t slot_count(const Dataset& data) { return data.source ? 4 : 2; }
  Slot& slot_of(int64_t step) { return slots_[static_cast<size_t>(step) % slots_.size()]; }
  void work();  // a thread
  Piece take_piece();
  void gather(const Piece& piece);
  void wait_for(int64_t step, Stream& stream);

  const Dataset& data_;
  int batch_;
  IndexRange own_;  // of a batch
  int64_t last_;
  int64_t next_;  // this and the next two are the caller's
  double waited_ = 0;
  Slot* last_taken_ = nullptr;

  std::mutex mutex_;  // of what follows, but for the slots' memory
  std::condition_variable changed_;
  DataOrder order_;
  std::vector<Slot> slots_;
  int64_t begun_, begun_images_ = 0;  // the step that the next piece is of, and its images that are handed out
  int64_t gathered_;                  // steps before it are there
  int64_t free_;                      // steps before it have a slot that may be written
  int working_ = 0;
  bool ends_ = false;
  int64_t failed_at_ = 0;  // the piece's first position, where there is an error
  std::exception_ptr error_;
  std::vector<std::thread> threads_;  // last: they begin when all else is there
};

}  // namespace ito
