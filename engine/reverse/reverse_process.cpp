// SPDX-License-Identifier: Apache-2.0
// Batches of one size from any number of images, and the search for the row where a number stopped being finite.
#include "engine/reverse/reverse_process.h"

#include <algorithm>
#include <cmath>

#include "engine/program/memory_check.h"

namespace ito {
namespace {

Denoiser planned(const Network& network, const ReverseTable& table, const ReverseSettings& s) {
  ITO_USER_CHECK(s.batch >= 1, "sampling: a batch of ", s.batch, " images; expected at least 1");
  return Denoiser(network, s.batch, s.compute, Denoiser::Gradient::None, times_of(table));
}

// Rows begin .. begin+n-1 of `values`, filled up to `size` rows with zeros; empty for null.
template <class T>
std::vector<T> padded(const T* values, int64_t begin, int64_t n, int64_t size, int64_t width) {
  if (!values) return {};
  std::vector<T> part(values + begin * width, values + (begin + n) * width);
  part.resize(size * width);
  return part;
}

bool all_finite(const float* values, int64_t count) {
  return std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

}  // namespace

TakeImages appended_to(DrawnImages& all) {
  return [&all](int64_t, int64_t, const DrawnImages& images) {
    all.numbers.insert(all.numbers.end(), images.numbers.begin(), images.numbers.end());
    all.bytes.insert(all.bytes.end(), images.bytes.begin(), images.bytes.end());
  };
}

// Images of one batch, the first `n` of which are wanted, and what they start from.
struct ReverseProcess::Batch {
  int64_t first, n;
  std::vector<float> noise, step_noise;
  std::vector<int32_t> classes;
  std::vector<float> values;
  BatchStart start() const {
    const auto or_null = [](const auto& values) { return values.empty() ? nullptr : values.data(); };
    LabelRows labels(or_null(classes));
    labels.values = or_null(values);
    return {.first = first, .initial_noise = or_null(noise), .step_noise = or_null(step_noise), .labels = labels};
  }
};

ReverseProcess::ReverseProcess(const Network& network, const ReverseTable& table, const float* weights,
                               const ReverseSettings& settings, LoopHooks* hooks)
    : settings_(settings),
      denoiser_(planned(network, table, settings)),
      loop_(denoiser_, table, settings.seed, settings.capture, hooks, buffers_, settings.step_noise.draws),
      delivery_(static_cast<size_t>(settings.batch * network.image.size()), settings.delivered, buffers_) {
  check_memory("sampling",
               {{"network", denoiser_.planned_bytes() + buffers_.bytes()},
                {"weights", sizeof(float) * denoiser_.program().layout().arena_floats()},
                {"images", settings.kept_images}},
               settings.memory_limit, "lower the batch, the count or the image size");
  denoiser_.bind(weights);
  buffers_.allocate();
  loop_.prepare();
  if (settings.weights_ready) pack();
}

void ReverseProcess::pack() {
  denoiser_.pack(loop_.stream());
}

int64_t ReverseProcess::rows_of(int64_t count) const {
  return ceil_div(count, settings_.batch) * loop_.rows();
}

// Batch `number` of images first .. first+count-1.
ReverseProcess::Batch ReverseProcess::batch_of(int64_t first, int64_t count, int64_t number, const float* initial_noise,
                                               const LabelRows& labels) const {
  const int64_t size = settings_.batch, image = denoiser_.network().image.size();
  const int64_t begin = number * size, n = std::min(size, count - begin);
  Batch batch{.first = first + begin,
              .n = n,
              .noise = padded(initial_noise, begin, n, size, image),
              .step_noise = {},
              .classes = padded(labels.classes, begin, n, size, 1),
              .values = padded(labels.values, begin, n, size, denoiser_.network().label_width)};
  const GivenDraws& given = settings_.step_noise;
  for (int64_t draw = 0; draw < given.draws; ++draw) {
    const std::vector<float> part =
        padded(given.values + draw * given.images * image, batch.first - given.first, n, size, image);
    batch.step_noise.insert(batch.step_noise.end(), part.begin(), part.end());
  }
  return batch;
}

void ReverseProcess::each(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels,
                          const TakeImages& take, const RowWatch& watch) {
  const int64_t size = settings_.batch, image = denoiser_.network().image.size(), batches = ceil_div(count, size);
  const GivenDraws& given = settings_.step_noise;
  ITO_CHECK(given.draws == 0 || (first >= given.first && first + count <= given.first + given.images),
            "sampling: images ", first, " to ", first + count - 1, " asked for with the steps' noise of images ",
            given.first, " to ", given.first + given.images - 1);
  const auto batch = [&](int64_t k) { return batch_of(first, count, k, initial_noise, labels); };
  int64_t collected = 0;
  const auto collect = [&] {
    const int64_t n = std::min(size, count - collected * size);
    DrawnImages drawn;
    drawn.numbers.resize(settings_.delivered.numbers ? n * image : 0);
    drawn.bytes.resize(settings_.delivered.bytes ? n * image : 0);
    float* numbers = drawn.numbers.empty() ? nullptr : drawn.numbers.data();
    delivery_.collect(n * image, numbers, drawn.bytes.empty() ? nullptr : drawn.bytes.data());
    if (numbers && !all_finite(numbers, n * image)) report_not_finite(batch(collected));
    take(first + collected * size, n, drawn);
    ++collected;
  };
  for (int64_t k = 0; k < batches; ++k) {
    const Batch next = batch(k);
    if (k == 0 && watch)
      loop_.run_by_rows(next.start(), watch);
    else
      loop_.run(next.start());
    delivery_.send(loop_.stream(), loop_.x().data());
    if (k > collected) collect();  // the batch before goes out while this one runs
  }
  while (collected < batches) collect();
}

DrawnImages ReverseProcess::all(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels,
                                const RowWatch& watch) {
  DrawnImages drawn;
  each(first, count, initial_noise, labels, appended_to(drawn), watch);
  return drawn;
}

// A batch is a function of its images' numbers, so running it again shows where it went wrong, at no cost to the runs
// that do not.
void ReverseProcess::report_not_finite(const Batch& batch) {
  const int64_t image = denoiser_.network().image.size();
  int64_t found = -1;
  int found_row = -1;
  const auto look = [&](int row) {
    if (found >= 0) return;
    const std::vector<float> x = loop_.state();
    for (int64_t i = 0; i < batch.n && found < 0; ++i)
      if (!all_finite(x.data() + i * image, image)) found = i, found_row = row;
  };
  loop_.run_by_rows(batch.start(), {.after = look});
  ITO_CHECK(found >= 0, "sampling: images from ", batch.first, " on held a value that was not finite, and none when ",
            "drawn again; is the machine sound?");
  fail<Error>("sampling: image ", batch.first + found, " holds a value that is not finite after step ", found_row + 1,
              " of ", loop_.rows(), " (timestep ", loop_.table().rows[found_row].timestep,
              "); are the model's weights whole, and is the precision enough for them?");
}

}  // namespace ito
