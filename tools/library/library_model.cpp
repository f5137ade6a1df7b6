// SPDX-License-Identifier: Apache-2.0
// See library_model.h.
#include "tools/library/library_model.h"

#include <algorithm>

#include "engine/io/layout.h"
#include "engine/program/compute_type.h"
#include "engine/program/memory_check.h"
#include "engine/reverse/adaptive_process.h"
#include "engine/reverse/reverse_process.h"
#include "engine/run/run_config.h"
#include "kernels/seams/memory_limit.h"
#include "models/guided_model.h"
#include "models/model_checks.h"
#include "models/sampling_plan.h"

namespace ito {
namespace {

constexpr double kMostGuidance = 1e4;
constexpr int64_t kMostImages = 1 << 24;

void check_count(int64_t first, int64_t count) {
  ITO_USER_CHECK(count >= 1 && count <= kMostImages, "count ", count, ": expected 1 to ", kMostImages);
  ITO_USER_CHECK(first >= 0 && first <= (int64_t{1} << 32) - count, "first ", first, ": expected 0 to 2^32 less count");
}

}  // namespace

std::vector<float> interleaved_of(const float* planar, int64_t count, const ImageShape& image) {
  return to_interleaved({planar, planar + count * image.size()}, count, image);
}

void put_planar(const std::vector<float>& interleaved, int64_t count, const ImageShape& image, float* planar) {
  const std::vector<float> planes = to_planar(interleaved, count, image);
  std::copy(planes.begin(), planes.end(), planar);
}

LibraryModel::LibraryModel(const std::string& path, OptionList options) {
  options.text("device", "");  // libito has decided by it
  batch_ = static_cast<int>(options.whole("batch", 64, 1, kMaxBatch));
  const auto height = static_cast<int>(options.whole("height", 0, 0, kMaxImageSide));
  const auto width = static_cast<int>(options.whole("width", 0, 0, kMaxImageSide));
  const auto threads = static_cast<int>(options.whole("threads", -1, 0, kMaxThreads));
  const std::string precision = options.text("precision", "fp32"), guide = options.text("guide", "");
  const double guidance = options.number("guidance", 1, 0, kMostGuidance);
  options.expect_none_left();
  if (threads >= 0) set_device_threads(threads);
  compute_ = compute_type_of(precision, "precision");
  model_ = load_model(path, height, width);
  if (guidance != 1 || !guide.empty())
    model_ = guided_model(std::move(model_), always(static_cast<float>(guidance)), guide);
  schedule_.emplace(model_.scheduler);
  check_model(model_, *schedule_);
  ITO_USER_CHECK(network().labels != LabelKind::Value, path,
                 ": the library does not ask networks with real-valued class labels (class_embed_type)");
  device_ = device_name();
}

ito_facts LibraryModel::facts() const {
  const ImageShape& image = network().image;
  return {.channels = image.channels,
          .height = image.height,
          .width = image.width,
          .classes = network().labels == LabelKind::Index ? network().classes : 0,
          .timesteps = schedule_->steps(),
          .parameters = parameters_of(network()).count()};
}

std::vector<double> LibraryModel::levels() const {
  const Levels levels(*schedule_, kTerminalAbar);
  std::vector<double> sigma;
  for (int t = 0; t < levels.steps(); ++t) sigma.push_back(levels.at(t).s());
  return sigma;
}

int LibraryModel::batch_of(int64_t images) const {
  return static_cast<int>(std::min<int64_t>(batch_, images));
}

void LibraryModel::check_labels(const int32_t* labels, int64_t count) const {
  const bool classes = network().labels == LabelKind::Index;
  ITO_USER_CHECK(classes || !labels, "labels: ", model_.model.where, " has no classes; give NULL");
  ITO_USER_CHECK(!classes || labels, "labels: are NULL, and ", model_.model.where, " has classes; give one an image");
  for (int64_t i = 0; classes && i < count; ++i)
    ITO_USER_CHECK(labels[i] >= 0 && labels[i] < network().classes, "labels: image ", i, " is of class ", labels[i],
                   "; the model has classes 0 to ", network().classes - 1);
}

void LibraryModel::sample(const std::string& sampler_name, OptionList options, uint64_t seed, int64_t first,
                          int64_t count, const int32_t* labels, float* out) {
  check_count(first, count);
  const Sampler& sampler = sampler_of(model_, sampler_name);
  SamplingSettings settings;
  settings.steps = static_cast<int>(options.whole("steps", 0, 0, schedule_->steps()));
  ITO_USER_CHECK(!sampler.adaptive || settings.steps == 0, "steps ", settings.steps, ": sampler ", sampler.name,
                 " chooses its own steps; leave it out, and set rtol and atol");
  settings.clip_sample = options.on_off("clip_denoised");
  if (const std::string spacing = options.text("spacing", ""); !spacing.empty())
    settings.timestep_spacing = timestep_spacing_of(spacing, "spacing");
  settings.reverse = options.text("reverse", "");
  settings.set = options.rest();
  const SamplingPlan plan = sampling_plan(model_, *schedule_, sampler, settings);
  std::vector<int32_t> in_turn;
  if (!labels && network().labels == LabelKind::Index)
    for (int64_t i = 0; i < count; ++i) in_turn.push_back(static_cast<int32_t>((first + i) % network().classes));
  const int32_t* const classes = in_turn.empty() ? labels : in_turn.data();
  check_labels(classes, count);
  ReverseSettings reverse;
  reverse.batch = batch_of(count);
  reverse.seed = seed;
  reverse.compute = compute_;
  reverse.memory_limit = device_memory_limit();
  // Twice: once more in planes.
  reverse.kept_images =
      saturated_product({2, static_cast<size_t>(count), static_cast<size_t>(network().image.size()), sizeof(float)});
  DrawnImages drawn;
  if (plan.adaptive)
    drawn =
        AdaptiveProcess(network(), *plan.adaptive, model_.weights.data(), reverse).all(first, count, nullptr, classes);
  else
    drawn = ReverseProcess(network(), plan.table, model_.weights.data(), reverse).all(first, count, nullptr, classes);
  put_planar(drawn.numbers, count, network().image, out);
}

PosteriorMean& LibraryModel::mean_of(int64_t count, Denoiser::Gradient gradient) {
  const int batch = batch_of(count);
  if (mean_ && mean_->batch() == batch && mean_gradient_ == gradient) return *mean_;
  mean_.reset();  // its memory is free before the next one asks
  mean_.emplace(network(), *schedule_, model_.weights.data(), batch, compute_, gradient, model_.model.where,
                device_memory_limit());
  mean_gradient_ = gradient;
  return *mean_;
}

void LibraryModel::denoise(int64_t count, const float* x, const double* sigma, const int32_t* labels, const float* v,
                           float* x0, float* gradient) {
  check_count(0, count);
  check_labels(labels, count);
  const ImageShape& image = network().image;
  const auto numbers = static_cast<size_t>(count * image.size());
  const std::vector<float> noisy = interleaved_of(x, count, image);
  const NoisyImages images{.count = count, .x = noisy.data(), .s = sigma, .labels = labels};
  std::vector<float> estimate(x0 ? numbers : 0), pulled(gradient ? numbers : 0);
  if (gradient)
    mean_of(count, Denoiser::Gradient::Input)
        .pull_back(images, interleaved_of(v, count, image).data(), x0 ? estimate.data() : nullptr, pulled.data());
  else
    mean_of(count, Denoiser::Gradient::None).estimate(images, estimate.data());
  if (x0) put_planar(estimate, count, image, x0);
  if (gradient) put_planar(pulled, count, image, gradient);
}

}  // namespace ito
