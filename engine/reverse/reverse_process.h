// SPDX-License-Identifier: Apache-2.0
// Images from noise: a network, a sampler's table, and as many images as wanted in batches of one size (row_loop.h,
// delivery.h). Image i is a function of (seed, i) alone, whatever the batch.
#pragma once
#include <functional>
#include <vector>

#include "engine/reverse/delivery.h"
#include "engine/reverse/row_loop.h"

namespace ito {

// z of the steps in place of drawn ones: (draws, images, H, W, C), indexed by ReverseRow::draw, of images first ..
// first+images-1. On the host; outlives the process.
struct GivenDraws {
  const float* values = nullptr;
  int64_t draws = 0, images = 0, first = 0;
};

struct ReverseSettings {
  int batch = 64;
  uint64_t seed = 0;
  DType compute = DType::F32;
  bool capture = true;             // false: launch every kernel of every row anew (the same bits)
  bool weights_ready = true;       // false: the caller calls pack() before the first use
  Delivered delivered = {};        // of every image
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
  size_t kept_images = 0;          // bytes of images that the caller keeps in the same memory, for that sum
  GivenDraws step_noise = {};      // of all images that will be asked for
};

// (count, H, W, C); empty where not asked for.
struct DrawnImages {
  std::vector<float> numbers;
  std::vector<uint8_t> bytes;  // round(255 clamp(x/2 + 1/2, 0, 1))
};

// Takes images first .. first+count-1 once they are there, a batch or less; the images are the caller's while it runs.
using TakeImages = std::function<void(int64_t first, int64_t count, const DrawnImages& images)>;
TakeImages appended_to(DrawnImages& all);

class ReverseProcess {
 public:
  // weights: an arena in device memory that outlives this object, as do the hooks.
  ReverseProcess(const Network& network, const ReverseTable& table, const float* weights,
                 const ReverseSettings& settings, LoopHooks* hooks = nullptr);

  const Program& program() const { return denoiser_.program(); }
  void pack();  // after the weights have changed

  // Images first .. first+count-1, a batch after the other, of which all but the last go out while the next one runs. A
  // short last batch is filled up with further images, which are drawn and dropped. initial_noise (count, H, W, C)
  // standard normals or null: from the counter. labels: (count), as the network has them. watch: of the first batch,
  // whose rows go out one by one if there is one. What is kept grows with the batch alone.
  // Error, naming image and row, if a number that is delivered is not finite.
  void each(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels, const TakeImages& take,
            const RowWatch& watch = {});
  // The same, all together.
  DrawnImages all(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels,
                  const RowWatch& watch = {});

  Stream& stream() { return loop_.stream(); }
  std::vector<float> state() { return loop_.state(); }     // x of the running batch now
  int64_t rows_done() const { return loop_.rows_done(); }  // in all batches
  int64_t rows_of(int64_t count) const;                    // that `count` images take, all batches together

 private:
  struct Batch;
  Batch batch_of(int64_t first, int64_t count, int64_t number, const float* initial_noise,
                 const LabelRows& labels) const;
  [[noreturn]] void report_not_finite(const Batch& batch);

  ReverseSettings settings_;
  BufferList buffers_;
  Denoiser denoiser_;
  RowLoop loop_;
  Delivery delivery_;
};

}  // namespace ito
