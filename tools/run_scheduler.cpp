// SPDX-License-Identifier: Apache-2.0
// See run_scheduler.h.
#include "tools/run_scheduler.h"

#include <filesystem>

#include "engine/io/option_name.h"
#include "engine/samplers/sampler.h"
#include "kernels/error.h"
#include "models/model.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

SchedulerConfig read_scheduler_for_training(const RunConfig& run, const std::string& file) {
  ModelFiles files;
  files.scheduler = file;
  const SchedulerConfig config = read_scheduler(files);
  // The betas are there; a schedule besides them, other than the one that the file names, would be passed over.
  ITO_USER_CHECK(
      !config.trained_betas || run.beta_schedule.empty() || run.beta_schedule == name_of(config.beta_schedule),
      option_name("beta_schedule"), " ", run.beta_schedule, ": ", file,
      " holds trained_betas, which replace a schedule; leave one of them out");
  return config;
}

// The usual configuration of a family's class; of the straight path with the argument that its users look for.
SchedulerConfig scheduler_of_family(Family family) {
  Json file = {{"_class_name", class_of(family)}, {"family", name_of(family)}};
  if (family == Family::Flow) file["shift"] = 1.0;
  std::vector<std::string> warnings;
  return read_scheduler_config(file, "--family", warnings);
}

}  // namespace

std::string scheduler_file(const std::string& path) {
  ITO_USER_CHECK(fs::exists(path), option_name("scheduler"), " ", path,
                 ": no such file or folder; expected a scheduler_config.json, or a folder that holds one");
  if (!fs::is_directory(path)) return path;
  for (const fs::path& file :
       {fs::path(path) / "scheduler" / "scheduler_config.json", fs::path(path) / "scheduler_config.json"})
    if (fs::exists(file)) return file.string();
  const std::string of_run =
      fs::exists(fs::path(path) / "latest") ? find_model(path, component_folders()).scheduler : "";
  ITO_USER_CHECK(!of_run.empty(), option_name("scheduler"), " ", path,
                 ": found neither scheduler/scheduler_config.json nor scheduler_config.json in it");
  return of_run;
}

SchedulerConfig resolve_scheduler(RunConfig& run, const std::string& otherwise, const SchedulerConfig& usual) {
  SchedulerConfig config = usual;
  std::string file = run.scheduler.empty() ? otherwise : scheduler_file(run.scheduler);
  if (!file.empty()) config = read_scheduler_for_training(run, file);
  if (!run.family.empty() && family_of(run.family, option_name("family")) != config.family) {
    ITO_USER_CHECK(run.scheduler.empty(), option_name("family"), " ", run.family, ": ", option_name("scheduler"), " ",
                   run.scheduler, " is of family ", name_of(config.family), "; leave one of them out");
    config = scheduler_of_family(family_of(run.family, option_name("family")));
    file.clear();
  }
  if (!run.prediction_type.empty())
    config.prediction_type = quantity_of(run.prediction_type, option_name("prediction_type"));
  ITO_USER_CHECK(run.beta_schedule.empty() || config.family == Family::Vp, option_name("beta_schedule"), " ",
                 run.beta_schedule, ": ", file.empty() ? "the noise schedule" : file, " is for a ",
                 name_of(config.family), " model, which has no table of betas; leave one of them out");
  if (!run.beta_schedule.empty())
    config.beta_schedule = beta_schedule_of(run.beta_schedule, option_name("beta_schedule"));
  if (!run.reverse.empty()) {
    const ReverseOption& reverse = reverse_option_named(run.reverse, option_name("reverse"));
    config.reverse = reverse.name;
    if (reverse.predicts_mean && run.prediction_type.empty()) config.prediction_type = Quantity::mean();
    ITO_USER_CHECK(!reverse.predicts_mean || config.prediction_type == Quantity::mean(), option_name("reverse"), " ",
                   reverse.name, ": learns the mean itself, and ", option_name("prediction_type"), " is ",
                   name_of(config.prediction_type), "; leave one of them out");
  }
  const ReverseOption& reverse = reverse_option_named(config.reverse, option_name("reverse"));
  if (!run.variance_type.empty())
    config.variance_type = variance_type_of(run.variance_type, option_name("variance_type"));
  else if (file.empty() && reverse.variance == StepVariance::Network)
    config.variance_type = VarianceType::LearnedRange;
  ITO_USER_CHECK(config.variance_type != VarianceType::LearnedRange || reverse.variance != StepVariance::Own,
                 run.variance_type.empty() ? file : option_name("variance_type"),
                 ": variance_type is learned_range, and reverse ", reverse.name,
                 " has a variance of its own; use fixed_small, or the reverse option vlb");
  check_scheduler_config(config, file.empty() ? "the noise schedule" : file);
  run.reverse = config.reverse;
  run.variance_type = name_of(config.variance_type);
  run.prediction_type = name_of(config.prediction_type);
  run.family = name_of(config.family);
  run.beta_schedule = config.family == Family::Vp ? name_of(config.beta_schedule) : "";
  return config;
}

void take_usual_training(RunConfig& run, const Model& model, const SchedulerConfig& scheduler,
                         bool class_dropout_given) {
  const std::optional<SchedulerConfig>& usual = model.configured.scheduler;
  if (!usual || usual->family != scheduler.family || usual->prediction_type != scheduler.prediction_type) return;
  const UsualTraining& training = model.configured.training;
  if (run.loss_weighting.empty()) run.loss_weighting = training.loss_weighting;
  if (run.timestep_sampling.empty()) run.timestep_sampling = training.timestep_sampling;
  if (!class_dropout_given) run.class_dropout = training.class_dropout;
}

}  // namespace ito
