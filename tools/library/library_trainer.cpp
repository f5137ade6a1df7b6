// SPDX-License-Identifier: Apache-2.0
// See library_trainer.h. The options are those of RunConfig::visit but for what is about files of data, pictures and
// when things are written: those are the caller's.
#include "tools/library/library_trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <type_traits>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/checkpoint/weights.h"
#include "engine/run/train_settings.h"
#include "kernels/seams/memory_limit.h"
#include "tools/library/library_model.h"
#include "tools/run_scheduler.h"

namespace ito {
namespace {

// Options of a run that the caller is, or does.
constexpr std::array<std::string_view, 8> kCallers{"data",         "model",      "resolution",       "log_every",
                                                   "sample_every", "max_memory", "checkpoint_every", "threads"};

template <class T>
void read(OptionList& options, T& value, const RunOption& option) {
  const std::string key = option.key;
  if constexpr (std::is_same_v<T, bool>) {
    value = options.flag(key);
  } else if constexpr (std::is_same_v<T, std::string>) {
    value = options.text(key, value);
  } else if constexpr (std::is_floating_point_v<T>) {
    value = options.number(key, value, -std::numeric_limits<double>::max(), std::numeric_limits<double>::max());
  } else if constexpr (std::is_integral_v<T>) {
    constexpr int64_t kMost = std::is_same_v<T, int> ? INT32_MAX : INT64_MAX;
    value = static_cast<T>(options.whole(key, static_cast<int64_t>(value), 0, kMost));
  } else {  // two numbers
    const std::string text = options.text(key, "");
    if (text.empty()) return;
    const size_t comma = text.find(',');
    const std::string first = "a=" + text.substr(0, comma),
                      second = "b=" + (comma == std::string::npos ? "" : text.substr(comma + 1));
    const char* const both[] = {first.c_str(), second.c_str(), nullptr};
    OptionList numbers(both);
    value = {numbers.number("a", 0, 0, 1), numbers.number("b", 0, 0, 1)};
  }
}

RunConfig run_of(const std::string& model, OptionList& options) {
  options.text("device", "");  // libito has decided by it
  RunConfig run;
  RunConfig::visit(run, [&](auto& value, const RunOption& option) {
    if (std::find(kCallers.begin(), kCallers.end(), option.key) == kCallers.end()) read(options, value, option);
  });
  options.expect_none_left();
  run.model = model;
  ITO_USER_CHECK(!run.out.empty(), "out: is missing; give the folder of the run");
  return run;
}

}  // namespace

LibraryTrainer::LibraryTrainer(const std::string& path, OptionList options)
    : run_(run_of(path, options)), alone_(lone_communicator()) {
  TrainSettings settings = train_settings(run_);
  const std::optional<FoundCheckpoint> newest =
      run_.resume ? newest_checkpoint(run_.out, component_folders()) : std::nullopt;
  Model model = model_of(path);
  if (newest) take_kernels_of(find_model(newest->path, component_folders()));
  const SchedulerConfig scheduler =
      resolve_scheduler(run_, model.files.scheduler, model.configured.scheduler.value_or(SchedulerConfig()));
  if (scheduler.variance_type == VarianceType::LearnedRange) model = with_variance_outputs(std::move(model));
  take_usual_training(run_, model, scheduler, run_.class_dropout > 0);
  settings.class_dropout = static_cast<float>(run_.class_dropout);
  choose_loss(settings, run_, scheduler);
  settings.last_term = BoundTerm::Density;  // of numbers, not of bytes
  network_ = model.network();
  ITO_USER_CHECK(network_.labels != LabelKind::Value, model.where,
                 ": the library does not train networks with real-valued class labels (class_embed_type)");
  check_outputs(network_, scheduler, model.where);
  const NoiseSchedule schedule(scheduler);
  timesteps_ = schedule.steps();
  check_timestep_count(network_.time, model.where, timesteps_);
  ITO_USER_CHECK(!network_.time.positive, model.where, ": ", network_.time.why,
                 "; training draws t = 0 too, so use a model that takes it");
  trainer_.emplace(network_, schedule, settings, device_memory_limit());
  if (!newest)
    trainer_->set_weights(model.files.weights.empty() ? initial_weights(trainer_->layout(), run_.seed)
                                                      : read_weights(model.files.weights, trainer_->layout()));
  const Component component = model.component(network_.image.height, network_.image.width);
  const RunIdentity identity = identity_of(run_, component.config, scheduler, trainer_->program(), 0);
  folder_.emplace(run_, component, scheduler, identity, alone_);
  done_ = logged_ = folder_->start(*trainer_);
}

ito_facts LibraryTrainer::facts() const {
  const ImageShape& image = network_.image;
  return {.channels = image.channels,
          .height = image.height,
          .width = image.width,
          .classes = network_.labels == LabelKind::Index ? network_.classes : 0,
          .timesteps = timesteps_,
          .parameters = trainer_->layout().count()};
}

void LibraryTrainer::step(const float* images, const int32_t* labels) {
  const bool classes = network_.labels == LabelKind::Index;
  ITO_USER_CHECK(done_ < run_.steps, "step ", done_ + 1, ": the run has ", run_.steps, " steps; ask for more as steps");
  ITO_USER_CHECK(classes == (labels != nullptr), "labels: the model has ",
                 classes ? "classes; give one an image" : "no classes; give NULL");
  const int most = run_.class_dropout > 0 ? network_.real_classes() : network_.classes;
  for (int i = 0; labels && i < run_.batch; ++i)
    ITO_USER_CHECK(labels[i] >= 0 && labels[i] < most, "labels: image ", i, " is of class ", labels[i],
                   "; expected 0 to ", most - 1);
  const std::vector<float> numbers = interleaved_of(images, run_.batch, network_.image);
  for (const float number : numbers)
    ITO_USER_CHECK(std::isfinite(number), "images: hold ", number, "; expected finite numbers, data in [-1, 1]");
  trainer_->step(numbers.data(), labels);
  ++done_;
}

double LibraryTrainer::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

double LibraryTrainer::loss() {
  const TrainState state = trainer_->state();
  if (done_ == logged_) return std::numeric_limits<double>::quiet_NaN();
  folder_->log(*trainer_, seconds(), 0, std::nullopt);
  trainer_->clear_logged();
  logged_ = done_;
  return state.loss_count ? state.loss_sum / static_cast<double>(state.loss_count)
                          : std::numeric_limits<double>::quiet_NaN();
}

void LibraryTrainer::save() {
  folder_->write_checkpoint(*trainer_, done_);
}

}  // namespace ito
