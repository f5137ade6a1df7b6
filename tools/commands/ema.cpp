// SPDX-License-Identifier: Apache-2.0
// ito ema: the average of any width from the snapshots of a run (train's --ema-snapshots), as a model of its own
// (Karras et al. 2024, section 3.2). ema.json beside it says what it was made of.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/json_file.h"
#include "engine/run/ema_snapshots.h"
#include "engine/training/ema_list.h"
#include "engine/training/power_ema.h"
#include "models/model.h"
#include "tools/commands/commands.h"
#include "tools/commands/output_folder.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct EmaOptions {
  std::string run, out;
  double sigma_rel = 0;
  int64_t at = 0;
};

// Those up to the step that is asked for, or the last.
std::vector<FoundAverage> snapshots_up_to(const EmaOptions& o) {
  std::vector<FoundAverage> kept = find_ema_snapshots(o.run);
  ITO_USER_CHECK(!kept.empty(), o.run,
                 ": has no snapshots of averages; train with --ema sigma-rel-0.05,sigma-rel-0.1 and --ema-snapshots");
  if (o.at == 0) return kept;
  std::set<int64_t> steps;
  for (const FoundAverage& one : kept) steps.insert(one.step);
  std::string known;
  for (const int64_t step : steps) known += (known.empty() ? "" : ", ") + std::to_string(step);
  ITO_USER_CHECK(steps.count(o.at), "--at ", o.at, ": ", o.run, " has no snapshot of this step; it has ", known);
  std::erase_if(kept, [&](const FoundAverage& one) { return one.step > o.at; });
  return kept;
}

// The sum in double, read one snapshot after the other. What is not trained is the same in all of them.
std::vector<float> weighted_sum(const std::vector<FoundAverage>& kept, const std::vector<double>& coefficients,
                                const ParameterLayout& layout) {
  std::vector<double> sum(layout.arena_floats(), 0.0);
  std::vector<float> last;
  Progress progress("reading", static_cast<int64_t>(kept.size()), 1, "snapshots");
  for (size_t i = 0; i < kept.size(); ++i) {
    last = read_weights(kept[i].path, layout);
    for (size_t k = 0; k < sum.size(); ++k) sum[k] += coefficients[i] * static_cast<double>(last[k]);
    progress.update(static_cast<int64_t>(i) + 1, "");
  }
  progress.finish();
  for (const Parameter& p : layout.all())
    for (int64_t k = p.offset; p.trainable && k < p.offset + p.count(); ++k) last[k] = static_cast<float>(sum[k]);
  return last;
}

void run(const EmaOptions& o) {
  ITO_USER_CHECK(o.sigma_rel >= kLeastWidth && o.sigma_rel <= kMostWidth, "--sigma-rel ", o.sigma_rel, ": expected ",
                 kLeastWidth, " to ", kMostWidth);
  ITO_USER_CHECK(o.at >= 0, "--at ", o.at, ": expected a step that has a snapshot; leave it out for the last");
  const Model model = read_model(o.run);
  const std::vector<FoundAverage> kept = snapshots_up_to(o);
  const FoundAverage& last = kept.back();
  const std::string name = power_ema_name(o.sigma_rel);
  const std::string usual = (std::filesystem::path(o.run) / fmt::format("{}-at-{:06}", name, last.step)).string();
  const std::string out = new_directory(o.out.empty() ? usual : o.out);

  std::vector<PowerProfile> profiles;
  for (const FoundAverage& one : kept)
    profiles.push_back({gamma_of_width(one.sigma_rel), static_cast<double>(one.updates)});
  const Reconstruction found =
      reconstruct_profile(profiles, {gamma_of_width(o.sigma_rel), static_cast<double>(last.updates)});
  const ParameterLayout layout = parameters_of(model.network());
  const std::vector<float> weights = weighted_sum(kept, found.coefficients, layout);

  Json sources = Json::array();
  for (size_t i = 0; i < kept.size(); ++i)
    sources.push_back({{"step", kept[i].step},
                       {"updates", kept[i].updates},
                       {"sigma_rel", kept[i].sigma_rel},
                       {"coefficient", found.coefficients[i]}});
  const Json provenance = {{"sigma_rel", o.sigma_rel},     {"step", last.step}, {"updates", last.updates},
                           {"profile_error", found.error}, {"run", o.run},      {"snapshots", sources}};
  Component component = model.component();
  component.beside.emplace_back("ema.json", provenance);
  write_model(out, component, model.scheduler(), layout, weights, nullptr);
  print_result(fmt::format("{}: the average of sigma_rel {} at step {} from {} snapshots, its profile {:.2g} off", out,
                           o.sigma_rel, last.step, kept.size(), found.error));
}

}  // namespace

void add_ema_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("ema", "make the weights' average of any width from a run's snapshots");
  auto o = std::make_shared<EmaOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("run", o->run, "a run that was trained with --ema-snapshots")->required();
  command->add_option("--sigma-rel", o->sigma_rel, "relative width of the power function, as 0.05")->required();
  command->add_option("--at", o->at, "the step that the average ends at, one with a snapshot; 0: the last");
  command->add_option("--out", o->out, "folder to make; empty: one named for width and step in the run's");
  command->callback([o] { run(*o); });
}

}  // namespace ito
