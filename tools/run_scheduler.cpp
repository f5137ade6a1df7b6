// SPDX-License-Identifier: Apache-2.0
// See run_scheduler.h.
#include "tools/run_scheduler.h"

#include <filesystem>

#include "engine/io/option_name.h"
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

SchedulerConfig resolve_scheduler(RunConfig& run, const std::string& otherwise) {
  SchedulerConfig config;
  const std::string file = run.scheduler.empty() ? otherwise : scheduler_file(run.scheduler);
  if (!file.empty()) config = read_scheduler_for_training(run, file);
  if (!run.prediction_type.empty())
    config.prediction_type = quantity_of(run.prediction_type, option_name("prediction_type"));
  ITO_USER_CHECK(run.beta_schedule.empty() || config.family == Family::Vp, option_name("beta_schedule"), " ",
                 run.beta_schedule, ": ", file, " is for a ", name_of(config.family),
                 " model, which has no table of betas; leave one of them out");
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
  run.beta_schedule = config.family == Family::Vp ? name_of(config.beta_schedule) : "";
  return config;
}

}  // namespace ito
