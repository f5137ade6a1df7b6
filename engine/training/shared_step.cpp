// SPDX-License-Identifier: Apache-2.0
// See shared_step.h.
#include "engine/training/shared_step.h"

#include <string>

#include "kernels/optim/gradient_norm.h"
#include "kernels/seams/ranges.h"

namespace ito {
namespace {

std::vector<IndexRange> ranges_of(const std::vector<Bucket>& buckets) {
  std::vector<IndexRange> ranges;
  for (const Bucket& bucket : buckets) ranges.push_back(bucket.floats);
  return ranges;
}

}  // namespace

SharedStep::SharedStep(Communicator& ranks, const Program& program, int64_t leaves, int64_t bucket_bytes)
    : buckets_(plan_buckets(program, bucket_bytes)), exchange_(ranks, leaves, ranges_of(buckets_)) {}

void SharedStep::declare(BufferList& buffers) {
  exchange_.declare(buffers);
  buffers.add(clock_, 1, "times of steps");
}

// What stands in the training stream is done before the verbs; what comes after it does not wait for them.
void SharedStep::beside(Stream& training, const std::function<void()>& verbs) {
  training.record(ready_);
  stream_.wait(ready_);
  verbs();
}

void SharedStep::beside_step(Stream& training, const std::function<void()>& verbs) {
  const bool waits = !streams_overlap();
  if (waits) stamp(training, clock_.data(), Stamp::Wait);
  beside(training, verbs);
  if (waits) stamp(training, clock_.data(), Stamp::Resume);
}

void SharedStep::wait_for_verbs(Stream& training) {
  stream_.record(exchanged_);
  stamp(training, clock_.data(), Stamp::Wait);
  training.wait(exchanged_);
  stamp(training, clock_.data(), Stamp::Resume);
}

void SharedStep::begin(Stream& training) {
  stamp(training, clock_.data(), Stamp::Begin);
}

void SharedStep::share_losses(Stream& training, std::span<float* const> numbers,
                              const std::vector<IndexRange>& images_of_ranks) {
  const Range range("exchange losses");
  beside_step(training, [&] {
    for (float* of_images : numbers) exchange_.gather_images(stream_, of_images, images_of_ranks);
  });
}

void SharedStep::share_bucket(Stream& training, int number, std::span<const float* const> own, float* gradients,
                              double* norm_partials) {
  const Range range("exchange bucket " + std::to_string(number));
  const IndexRange mine = own_ranges().at(number);
  beside_step(training, [&] {
    exchange_.join(stream_, number, own, gradients);
    gradient_square_sums(stream_, norm_partials + mine.first / kNormSpan, gradients + mine.first, mine.count);
  });
}

void SharedStep::finish_gradients(Stream& training, double* norm_partials) {
  const Range range("exchange norm");
  beside_step(training, [&] { exchange_.gather_norm(stream_, norm_partials); });
  wait_for_verbs(training);
}

void SharedStep::share_weights(Stream& training, int number, float* weights) {
  const Range range("exchange weights " + std::to_string(number));
  beside_step(training, [&] { exchange_.gather_bucket(stream_, number, weights); });
}

void SharedStep::finish_weights(Stream& training) {
  wait_for_verbs(training);
}

void SharedStep::end(Stream& training) {
  stamp(training, clock_.data(), Stamp::End);
}

void SharedStep::gather_arena(Stream& training, float* arena) {
  beside(training, [&] { exchange_.gather_arena(stream_, arena); });
  stream_.record(exchanged_);
  training.wait(exchanged_);
}

ExchangeTimes SharedStep::times(Stream& training) {
  StepClock clock{};
  clock_.download(training, &clock);
  return {clock.steps, 1e-9 * static_cast<double>(clock.nanoseconds), 1e-9 * static_cast<double>(clock.waited)};
}

}  // namespace ito
