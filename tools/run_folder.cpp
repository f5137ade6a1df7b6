// SPDX-License-Identifier: Apache-2.0
#include "tools/run_folder.h"

#include <fmt/format.h>

#include <filesystem>

#include "engine/checkpoint.h"
#include "engine/io/chart.h"
#include "engine/samplers/sampler.h"
#include "tools/pictures.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr int kPreviewImages = 16, kPreviewSteps = 20;

}  // namespace

RunFolder::RunFolder(const RunConfig& run, const UNetConfig& model, const SchedulerConfig& scheduler)
    : run_(run), model_(model), scheduler_(scheduler) {
  std::error_code error;
  fs::create_directories(run.out, error);
  ITO_USER_CHECK(!error, "--out ", run.out, ": cannot be created: ", error.message(), "; choose another folder");
  for (const char* name : {"config.json", "metrics.jsonl", "latest"})
    ITO_USER_CHECK(!fs::exists(path(name)), "--out ", run.out, ": holds a run already (", name,
                   "); choose another folder or remove it");
  write_json_file(path("config.json"), run.json());
  metrics_.open(path("metrics.jsonl"));
  timings_.open(path("timings.jsonl"));
  ITO_USER_CHECK(metrics_ && timings_, "--out ", run.out, ": cannot write metrics.jsonl; choose another folder");
}

std::string RunFolder::path(const std::string& name) const {
  return (fs::path(run_.out) / name).string();
}

std::string RunFolder::log(Trainer& trainer, double seconds) {
  const TrainState state = trainer.state();
  const double loss = state.loss_count ? state.loss_sum / static_cast<double>(state.loss_count) : NAN;
  logged_steps_.push_back(static_cast<double>(state.step));
  logged_losses_.push_back(loss);
  const Json line = {{"step", state.step},
                     {"loss", loss},
                     {"gradient_norm", state.gradient_norm},
                     {"learning_rate", state.learning_rate},
                     {"ema_decay", state.ema_decay},
                     {"skipped", state.skipped}};
  metrics_ << line.dump() << '\n' << std::flush;
  const double elapsed = seconds - logged_seconds_;
  const double images = static_cast<double>((state.step - logged_step_) * run_.batch);
  timings_ << Json{{"step", state.step}, {"seconds", seconds}, {"images_per_second", images / elapsed}}.dump() << '\n'
           << std::flush;
  logged_seconds_ = seconds;
  logged_step_ = state.step;
  ITO_CHECK(metrics_ && timings_, path("metrics.jsonl"), ": cannot be written; is the disk full?");
  return fmt::format("loss {:.4f}", loss);
}

void RunFolder::write_checkpoint(Trainer& trainer, int64_t step) {
  TrainingSnapshot snapshot;
  snapshot.state = trainer.state();
  snapshot.seed = run_.seed;
  snapshot.weights = trainer.download(Trainer::Arena::Weights);
  snapshot.first_moment = trainer.download(Trainer::Arena::FirstMoment);
  snapshot.second_moment = trainer.download(Trainer::Arena::SecondMoment);
  latest_ = checkpoint_name(step);
  write_model(path(latest_), to_json(model_), scheduler_, trainer.layout(), trainer.download(Trainer::Arena::Ema),
              &snapshot);
  write_latest(run_.out, latest_);
  write_loss_chart();
}

void RunFolder::write_preview(Trainer& trainer, const Network& network, const NoiseSchedule& schedule, int64_t step) {
  if (!preview_) {
    SamplerSettings settings;
    settings.steps = std::min(kPreviewSteps, schedule.steps());
    ReverseSettings reverse;
    reverse.batch = kPreviewImages;
    reverse.seed = run_.seed;
    preview_ = std::make_unique<ReverseProcess>(network, make_sampler("ddim")->table(schedule, settings), trainer.ema(),
                                                reverse);
  } else {
    preview_->pack();
  }
  std::vector<int32_t> classes;
  if (network.labels == LabelKind::Index)
    for (int i = 0; i < kPreviewImages; ++i) classes.push_back(i % network.classes);
  std::vector<float> samples(kPreviewImages * network.row());
  preview_->run(0, nullptr, classes.empty() ? nullptr : classes.data(), samples.data());
  write_sample_grid(path(fmt::format("samples-{:06}.png", step)), samples, kPreviewImages, network);
}

void RunFolder::write_loss_chart() const {
  if (logged_steps_.empty()) return;
  write_line_chart(path("loss.svg"), "Training loss", "step", "mean squared error",
                   {{"loss", logged_steps_, logged_losses_}}, true);
}

}  // namespace ito
