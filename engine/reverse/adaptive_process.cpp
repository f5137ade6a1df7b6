// SPDX-License-Identifier: Apache-2.0
// See adaptive_process.h. The host waits for every batch's end anyway, so batches go out one by one.
#include "engine/reverse/adaptive_process.h"

#include <algorithm>

#include "engine/program/memory_check.h"
#include "kernels/diffusion/noising.h"
#include "kernels/diffusion/pack.h"
#include "kernels/nn/pointwise.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

AdaptiveSettings solver_settings(const AdaptivePlan& plan, const ReverseSettings& settings) {
  AdaptiveSettings solver;
  solver.ode = {.from = plan.flow.noise, .to = plan.flow.data, .rtol = plan.rtol, .atol = plan.atol};
  solver.capture = settings.capture;
  return solver;
}

Denoiser planned(const Network& network, const AdaptivePlan& plan, const ReverseSettings& s) {
  ITO_USER_CHECK(s.batch >= 1, "sampling: a batch of ", s.batch, " images; expected at least 1");
  check_flow_network(network, plan.flow, "sampling");
  return Denoiser(network, s.batch, s.compute);  // without times: an image's steps say them as they go
}

}  // namespace

void check_flow_network(const Network& network, const ProbabilityFlow& flow, const char* doing) {
  const int channels = network.image.channels;
  ITO_USER_CHECK(network.out_channels == channels || network.out_channels == 2 * channels, doing, ": the network has ",
                 network.out_channels, " output channels for ", channels,
                 " of data; expected as many, or twice as many ", "with a learned variance");
  ITO_USER_CHECK(network.time.rows == 0, doing, ": ", network.time.why,
                 ", but the probability flow asks at any time; use a sampler of whole timesteps");
  ITO_USER_CHECK(!network.time.positive || flow.least_time() > 0, doing, ": ", network.time.why,
                 ", but the probability flow ends at time ", flow.least_time(), "; use a larger sampling_eps");
}

AdaptiveProcess::AdaptiveProcess(const Network& network, const AdaptivePlan& plan, const float* weights,
                                 const ReverseSettings& settings)
    : plan_(plan),
      settings_(settings),
      denoiser_(planned(network, plan, settings)),
      slope_(denoiser_, plan_.flow, buffers_),
      solver_(slope_, settings.batch, network.image.size(), 0, solver_settings(plan, settings), buffers_) {
  const size_t numbers = static_cast<size_t>(settings.batch * network.image.size());
  buffers_.add(first_, 1, "the number of a batch's first image");
  buffers_.add(images_, numbers, "a batch of images");
  buffers_.add(bytes_, settings.delivered.bytes ? numbers : 0, "a batch of images");
  check_memory("sampling",
               {{"network", denoiser_.planned_bytes() + buffers_.bytes()},
                {"weights", sizeof(float) * denoiser_.program().layout().arena_floats()},
                {"images", settings.kept_images}},
               settings.memory_limit, "lower the batch, the count or the image size");
  denoiser_.bind(weights);
  buffers_.allocate();
  solver_.prepare();
  slope_.prepare(stream_);
  denoiser_.pack(stream_);
}

int64_t AdaptiveProcess::thousandths_of(int64_t count) const {
  return 1000 * settings_.batch * ceil_div(count, settings_.batch);
}

// n: images whose noise and labels are given; the others of the batch have zeros.
void AdaptiveProcess::begin(int64_t first, int64_t n, const float* initial_noise, const LabelRows& labels) {
  const int64_t image = denoiser_.network().image.size(), batch = settings_.batch;
  float* y = solver_.y();
  copy_to_device(stream_, first_.data(), &first, sizeof first);
  if (initial_noise) {
    std::vector<float> noise(initial_noise, initial_noise + n * image);
    noise.resize(batch * image);
    copy_to_device(stream_, y, noise.data(), noise.size() * sizeof(float));
  } else {
    fill_normal(stream_, y, SampleCounter::of_sampling(settings_.seed, first_.data()),
                purpose_word(Purpose::InitialNoise), settings_.batch, image);
  }
  if (plan_.flow.noise_std != 1) affine(stream_, y, y, static_cast<float>(plan_.flow.noise_std), 0, batch * image);
  denoiser_.put_labels(stream_, labels, n);
}

void AdaptiveProcess::finish() {
  if (plan_.ends_clean)
    slope_.estimate(stream_, images_.data(), solver_.y(), solver_.times());
  else
    affine(stream_, images_.data(), solver_.y(), static_cast<float>(1 / plan_.flow.data_alpha), 0,
           static_cast<int64_t>(images_.count()));
  if (settings_.delivered.bytes)
    pack_uint8(stream_, bytes_.data(), images_.data(), static_cast<int64_t>(images_.count()));
}

void AdaptiveProcess::each(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels,
                           const TakeImages& take) {
  const int64_t image = denoiser_.network().image.size();
  evaluations_.clear();
  for (int64_t begun = 0; begun < count; begun += settings_.batch) {
    const int64_t n = std::min<int64_t>(settings_.batch, count - begun);
    begin(first + begun, n, initial_noise ? initial_noise + begun * image : nullptr,
          labels.from(begun, denoiser_.network().label_width));
    solver_.run(stream_, first + begun, static_cast<int>(n));
    const std::vector<OdeImage> ends = solver_.images(stream_);
    for (int64_t i = 0; i < n; ++i) evaluations_.push_back(ends[i].evaluations + (plan_.ends_clean ? 1 : 0));
    finish();
    DrawnImages drawn;
    if (settings_.delivered.numbers) {
      drawn.numbers.resize(images_.count());
      images_.download(stream_, drawn.numbers.data());
      drawn.numbers.resize(n * image);
    }
    if (settings_.delivered.bytes) {
      drawn.bytes.resize(bytes_.count());
      bytes_.download(stream_, drawn.bytes.data());
      drawn.bytes.resize(n * image);
    }
    take(first + begun, n, drawn);
  }
}

DrawnImages AdaptiveProcess::all(int64_t first, int64_t count, const float* initial_noise, const LabelRows& labels) {
  DrawnImages drawn;
  each(first, count, initial_noise, labels, appended_to(drawn));
  return drawn;
}

}  // namespace ito
