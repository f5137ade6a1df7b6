// SPDX-License-Identifier: Apache-2.0
// The adaptive solver's kernels (formulas in the header). What takes a norm has a block an image, whose threads all
// come to the same decision; a stage is cut into (image, 4096 elements).
// Stages and slopes are stored in fp32, as the network gives them. Their combinations are formed in double: the error
// estimate is a difference of like numbers, and the stages' weights are then the published fractions to the last bit.
// Bytes an element: a stage reads y 4 and up to 6 slopes of 4, writes 4; control reads y, y' and 6 slopes, writes y and
// k_1 of images that go on. A try moves 30 numbers an element so, beside six evaluations of a network.
#include "kernels/diffusion/ode.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kNormThreads = 512;

constexpr int kStageTerms = 6;

struct StageWeights {
  double c;
  int terms;
  double a[kStageTerms];
};

// Dormand and Prince 1980, table 2. Stage 0 is the first try's; stage 6 has the weights of y'.
constexpr StageWeights kStages[] = {
    {1, 1, {1}},
    {1.0 / 5, 1, {1.0 / 5}},
    {3.0 / 10, 2, {3.0 / 40, 9.0 / 40}},
    {4.0 / 5, 3, {44.0 / 45, -56.0 / 15, 32.0 / 9}},
    {8.0 / 9, 4, {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729}},
    {1, 5, {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656}},
    {1, 6, {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}},
};

// y' less the solution of order 4, in sum_j of (weight) k_j.
struct ErrorWeights {
  double e[kOdeSlopes];
};
constexpr ErrorWeights kErrorWeights = {
    {-71.0 / 57600, 0, 71.0 / 16695, -71.0 / 1920, 17253.0 / 339200, -22.0 / 525, 1.0 / 40}};

DEVICE double larger(double a, double b) {
  return a > b ? a : b;
}
DEVICE double smaller(double a, double b) {
  return a < b ? a : b;
}
DEVICE double magnitude(double a) {
  return a < 0.0 ? -a : a;
}

// err^(-1/5).
DEVICE double minus_fifth_root(double err) {
  return double_exp(-0.2 * double_log(larger(err, 1e-300)));
}

// The step towards `to` that the wish comes to, or the end of the road.
DEVICE void plan_try(OdeImage* image, const OdeSettings& settings) {
  const double direction = settings.to > settings.from ? 1.0 : -1.0, at = magnitude(image->t);
  const double least = 10.0 * (double_from_bits(bits_from_double(at) + 1) - at);
  if (image->rejected_before == 0) image->wish = larger(image->wish, least);
  if (!(image->wish >= least)) {  // or it is no number
    image->progress = OdeProgress::Stuck;
    image->step = 0.0;
    image->goal = image->t;
    return;
  }
  image->goal = image->t + direction * image->wish;
  if (direction * (image->goal - settings.to) > 0.0) image->goal = settings.to;
  image->step = image->goal - image->t;
  image->wish = magnitude(image->step);
}

DEVICE void ode_begin_item(int64_t i, OdeData data, OdeSettings settings) {
  data.images[i] = {.t = settings.from,
                    .step = 0.0,
                    .goal = settings.from,
                    .wish = 0.0,
                    .progress = OdeProgress::Running,
                    .rejected_before = 0,
                    .evaluations = 0,
                    .accepted = 0,
                    .rejected = 0};
  data.times[i] = settings.from;
  for (int e = 0; e < data.extras; ++e) data.extra[i * data.extras + e] = 0.0;
}

// scale of the start: atol + rtol |y|.
DEVICE double start_scale(const OdeSettings& settings, double y) {
  return settings.atol + settings.rtol * magnitude(y);
}

// rms of y / scale and of k_1 / scale; all threads get both.
DEVICE void start_norms(const OdeData& data, const OdeSettings& settings, int64_t number, double* d0, double* d1) {
  const float *y = data.y + number * data.size, *slope = data.slopes + number * data.size;
  double states = 0.0, slopes = 0.0;
  BLOCK_LOOP(i, data.size) {
    const double scale = start_scale(settings, y[i]), a = y[i] / scale, b = slope[i] / scale;
    states += a * a;
    slopes += b * b;
  }
  const double count = static_cast<double>(data.size);
  *d0 = sqrt(block_sum(states) / count);
  *d1 = sqrt(block_sum(slopes) / count);
}

KERNEL void ode_first_try_kernel(OdeData data, OdeSettings settings) {
  const int64_t number = blockIdx.x;
  double d0, d1;
  start_norms(data, settings, number, &d0, &d1);
  if (threadIdx.x != 0) return;
  const double length = settings.to - settings.from, direction = length > 0.0 ? 1.0 : -1.0;
  const double first = smaller(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1, magnitude(length));
  OdeImage* image = data.images + number;
  image->step = direction * first;
  image->goal = image->t + image->step;
  image->evaluations = 1;
}

KERNEL void ode_first_step_kernel(OdeData data, OdeSettings settings) {
  const int64_t number = blockIdx.x;
  double d0, d1;
  start_norms(data, settings, number, &d0, &d1);
  const float *y = data.y + number * data.size, *before = data.slopes + number * data.size;
  const float* after = before + data.n * data.size;
  double sum = 0.0;
  BLOCK_LOOP(i, data.size) {
    const double change = (static_cast<double>(after[i]) - before[i]) / start_scale(settings, y[i]);
    sum += change * change;
  }
  sum = block_sum(sum);
  if (threadIdx.x != 0) return;
  OdeImage* image = data.images + number;
  const double first = magnitude(image->step), length = magnitude(settings.to - settings.from);
  const double d2 = sqrt(sum / static_cast<double>(data.size)) / first, fastest = larger(d1, d2);
  const double second = fastest <= 1e-15 ? larger(1e-6, 1e-3 * first) : minus_fifth_root(fastest / 0.01);
  image->wish = smaller(smaller(100.0 * first, second), length);
  image->evaluations = 2;
  plan_try(image, settings);
}

KERNEL void ode_stage_kernel(OdeData data, StageWeights weights) {
  const int64_t blocks = quad_blocks(data.size), number = blockIdx.x / blocks;
  const OdeImage& image = data.images[number];
  const double step = image.step;
  const int64_t batch = data.n * data.size, at = number * data.size;
  if (blockIdx.x % blocks == 0 && threadIdx.x == 0)
    data.times[number] = weights.c == 1.0 ? image.goal : image.t + weights.c * step;
  for_quads(data.size, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    const int64_t first = at + 4 * quad;
    double sum[4] = {};
    for (int j = 0; j < kStageTerms; ++j) {
      if (j >= weights.terms) break;
      for (int v = 0; v < width; ++v)
        sum[v] = fma(weights.a[j], static_cast<double>(data.slopes[j * batch + first + v]), sum[v]);
    }
    for (int v = 0; v < width; ++v)
      data.trial[first + v] = static_cast<float>(fma(step, sum[v], static_cast<double>(data.y[first + v])));
  });
}

// step sum_j e_j k_j / scale, squared.
DEVICE double scaled_square(double error, double before, double after, const OdeSettings& settings) {
  const double ratio = error / (settings.atol + settings.rtol * larger(magnitude(before), magnitude(after)));
  return ratio * ratio;
}

KERNEL void ode_control_kernel(OdeData data, OdeSettings settings, ErrorWeights errors, StageWeights last) {
  const int64_t number = blockIdx.x, batch = data.n * data.size, extra_batch = int64_t{data.n} * data.extras;
  OdeImage* image = data.images + number;
  const OdeImage old = *image;
  const bool running = old.progress == OdeProgress::Running;
  float *y = data.y + number * data.size, *slopes = data.slopes + number * data.size;
  const float* trial = data.trial + number * data.size;
  double* extra = data.extra + number * data.extras;
  double* extra_slopes = data.extra_slopes + number * data.extras;
  double sum = 0.0, extra_sum = 0.0;
  if (running) {
    BLOCK_LOOP(i, data.size) {
      double error = 0.0;
      for (int j = 0; j < kOdeSlopes; ++j) error = fma(errors.e[j], static_cast<double>(slopes[j * batch + i]), error);
      sum += scaled_square(old.step * error, y[i], trial[i], settings);
    }
    BLOCK_LOOP(e, data.extras) {
      double error = 0.0, rise = 0.0;
      for (int j = 0; j < kOdeSlopes; ++j) error = fma(errors.e[j], extra_slopes[j * extra_batch + e], error);
      for (int j = 0; j < kStageTerms; ++j)
        if (j < last.terms) rise = fma(last.a[j], extra_slopes[j * extra_batch + e], rise);
      extra_sum += scaled_square(old.step * error, extra[e], extra[e] + old.step * rise, settings);
    }
  }
  sum = block_sum(sum);
  extra_sum = block_sum(extra_sum);
  if (!running) return;
  double mean = sum / static_cast<double>(data.size);
  if (data.extras > 0) {
    const double of_extra = extra_sum / data.extras;
    if (!(of_extra <= mean)) mean = of_extra;  // the larger one, or what is no number
  }
  const double err = sqrt(mean);
  const bool accepted = err < 1.0;
  if (accepted) {
    const float* newest = slopes + (kOdeSlopes - 1) * batch;
    BLOCK_LOOP(i, data.size) {
      y[i] = trial[i];
      slopes[i] = newest[i];
    }
    BLOCK_LOOP(e, data.extras) {
      double rise = 0.0;
      for (int j = 0; j < kStageTerms; ++j)
        if (j < last.terms) rise = fma(last.a[j], extra_slopes[j * extra_batch + e], rise);
      extra[e] += old.step * rise;
      extra_slopes[e] = extra_slopes[(kOdeSlopes - 1) * extra_batch + e];
    }
  }
  if (threadIdx.x != 0) return;
  OdeImage next = old;
  next.evaluations += 6;
  double factor = is_finite(err) ? 0.9 * minus_fifth_root(err) : 0.0;
  if (accepted) {
    factor = smaller(err == 0.0 ? 10.0 : factor, old.rejected_before != 0 ? 1.0 : 10.0);
    next.t = old.goal;
    next.accepted += 1;
    next.rejected_before = 0;
  } else {
    factor = larger(0.2, factor);
    next.rejected += 1;
    next.rejected_before = 1;
  }
  next.wish = old.wish * factor;
  if (next.t == settings.to) {
    next.progress = OdeProgress::Arrived;
    next.step = 0.0;
  } else {
    plan_try(&next, settings);
  }
  *image = next;
}

DEVICE void ode_count_item(int64_t, int64_t* running, int64_t* thousandths, OdeData data, OdeSettings settings) {
  int64_t still = 0, way = 0;
  for (int i = 0; i < data.n; ++i) {
    const OdeImage& image = data.images[i];
    if (image.progress == OdeProgress::Running) ++still;
    way += static_cast<int64_t>(1000.0 * ((image.t - settings.from) / (settings.to - settings.from)));
  }
  *running = still;
  *thousandths = way;
}

void check_data(const OdeData& data, const char* who) {
  ITO_CHECK(data.images && data.y && data.trial && data.slopes && data.times, who, ": a tensor is null");
  ITO_CHECK(data.n >= 0 && data.size > 0 && data.extras >= 0, who, ": N ", data.n, ", size ", data.size, ", extras ",
            data.extras, ", expected positive sizes");
  ITO_CHECK(data.extras == 0 || (data.extra && data.extra_slopes), who, ": the extra numbers have no place");
}

}  // namespace

void ode_begin(Stream& stream, const OdeData& data, const OdeSettings& settings) {
  check_data(data, "ode_begin");
  ITO_CHECK(settings.from != settings.to && settings.atol >= 0 && settings.rtol > 0, "ode_begin: from ", settings.from,
            " to ", settings.to, ", rtol ", settings.rtol, ", atol ", settings.atol,
            ", expected two times and positive tolerances");
  for_each<ode_begin_item>("ode_begin", data.n, stream, data, settings);
}

void ode_first_try(Stream& stream, const OdeData& data, const OdeSettings& settings) {
  check_data(data, "ode_first_try");
  launch<ode_first_try_kernel>("ode_first_try", Dim3(data.n), kNormThreads, 0, stream, data, settings);
}

void ode_first_step(Stream& stream, const OdeData& data, const OdeSettings& settings) {
  check_data(data, "ode_first_step");
  launch<ode_first_step_kernel>("ode_first_step", Dim3(data.n), kNormThreads, 0, stream, data, settings);
}

void ode_stage(Stream& stream, const OdeData& data, int stage) {
  check_data(data, "ode_stage");
  ITO_CHECK(stage >= 0 && stage < kOdeSlopes, "ode_stage: stage ", stage, ", expected 0 to 6");
  launch<ode_stage_kernel>("ode_stage", Dim3(data.n * quad_blocks(data.size)), kQuadThreads, 0, stream, data,
                           kStages[stage]);
}

void ode_control(Stream& stream, const OdeData& data, const OdeSettings& settings) {
  check_data(data, "ode_control");
  launch<ode_control_kernel>("ode_control", Dim3(data.n), kNormThreads, 0, stream, data, settings, kErrorWeights,
                             kStages[kOdeSlopes - 1]);
}

void ode_count(Stream& stream, int64_t* running, int64_t* thousandths, const OdeData& data,
               const OdeSettings& settings) {
  check_data(data, "ode_count");
  ITO_CHECK(running && thousandths, "ode_count: a result is null");
  for_each<ode_count_item>("ode_count", 1, stream, running, thousandths, data, settings);
}

}  // namespace ito
