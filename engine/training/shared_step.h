// SPDX-License-Identifier: Apache-2.0
// What several ranks do of a training step together, beside the stream that trains: gradients travel in buckets while
// the backward makes the next ones, and new weights while the optimiser makes the next ones. All verbs of a step go, in
// one order, through one stream, so that two are never under way at once; the training stream waits for it twice. Where
// streams do not overlap (cpu, sim) each verb holds the step up when it is enqueued.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/program/buffer_list.h"
#include "engine/program/program.h"
#include "engine/ranks/buckets.h"
#include "engine/ranks/gradient_exchange.h"
#include "kernels/optim/step_clock.h"

namespace ito {

// Of the steps since it was last cleared, by the device's clock: what a step took, and how long of that the training
// stream stood still for what ranks exchange and join. Times differ from rank to rank.
struct ExchangeTimes {
  int64_t steps = 0;
  double seconds = 0, seconds_waiting = 0;
};

class SharedStep {
 public:
  // leaves: chunks of the batch.
  SharedStep(Communicator& ranks, const Program& program, int64_t leaves, int64_t bucket_bytes);
  void declare(BufferList& buffers);

  int buckets() const { return static_cast<int>(buckets_.size()); }
  const Bucket& bucket(int number) const { return buckets_.at(number); }
  // This rank's slices of the arena, one a bucket.
  const std::vector<IndexRange>& own_ranges() const { return exchange_.own_ranges(); }

  // A step calls these in order, with the stream that trains; all may be captured.
  void begin(Stream& training);
  // The losses of all images, from here on; numbers: those that this rank has made stand in them.
  void share_losses(Stream& training, std::span<float* const> numbers, const std::vector<IndexRange>& images_of_ranks);
  // Once for every bucket, by number, when this rank's subtrees of it are complete; see GradientExchange::join. Also
  // the squares of its slice.
  void share_bucket(Stream& training, int number, std::span<const float* const> own, float* gradients,
                    double* norm_partials);
  // Then the training stream has the gradients of own_ranges(), the whole of norm_partials and all losses.
  void finish_gradients(Stream& training, double* norm_partials);
  // Once for every bucket, by number, when its own range of the weights is new; after finish_weights all are.
  void share_weights(Stream& training, int number, float* weights);
  void finish_weights(Stream& training);
  void end(Stream& training);

  // Between steps: all ranks' parts of an arena to all.
  void gather_arena(Stream& training, float* arena);

  ExchangeTimes times(Stream& training);  // waits for the device
  void clear_times(Stream& training) { clock_.zero(training); }

 private:
  void beside(Stream& training, const std::function<void()>& verbs);
  void beside_step(Stream& training, const std::function<void()>& verbs);
  void wait_for_verbs(Stream& training);

  std::vector<Bucket> buckets_;
  GradientExchange exchange_;
  Stream stream_{"exchange"};
  Event ready_{"to be exchanged"}, exchanged_{"exchanged"};
  DeviceBuffer<StepClock> clock_;
};

}  // namespace ito
