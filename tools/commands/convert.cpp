// SPDX-License-Identifier: Apache-2.0
// ito convert: any model that can be read, written anew as a diffusers directory of today: component folders, fp32
// weights under current names, every configuration key spelled out. A training checkpoint loses its training state.
#include <filesystem>
#include <memory>
#include <optional>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/weights.h"
#include "models/model.h"
#include "tools/commands/commands.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

struct ConvertOptions {
  std::string from, out;
};

// The folder to write, without a trailing slash; refused where it would bury something.
std::string new_directory(const std::string& out) {
  fs::path directory = fs::path(out).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  ITO_USER_CHECK(directory.has_filename(), "--out ", out, ": expected the name of a folder to make");
  ITO_USER_CHECK(!fs::exists(directory) || (fs::is_directory(directory) && fs::is_empty(directory)), "--out ", out,
                 ": already exists and is not an empty folder; remove it or choose another");
  return directory.string();
}

void run(const ConvertOptions& o) {
  const std::string out = new_directory(o.out);
  const Model model = read_model(o.from);
  const ImageShape& image = model.configured.image;
  const int least = model.configured.side_multiple;  // no tensor depends on the image's size
  const ParameterLayout layout =
      parameters_of(model.network(image.height ? image.height : least, image.width ? image.width : least));
  const bool weightless = layout.all().empty();
  const std::string from = weightless ? model.where : model.weights_file();
  const SchedulerConfig scheduler = model.scheduler();

  ITO_USER_CHECK(!std::filesystem::exists(out + ".partial"), out,
                 ".partial: is in the way of writing; move it, or choose another --out");
  const std::vector<float> weights = weightless ? std::vector<float>() : read_weights(from, layout);
  std::optional<LevelStatistics> statistics;
  if (!model.files.statistics.empty())
    statistics = read_level_statistics(model.files.statistics, scheduler.num_train_timesteps);
  write_model(out, model.component(), scheduler, layout, weights, nullptr, statistics ? &*statistics : nullptr);
  print_result(join_text(out, ": ", layout.all().size(), " tensors, ", layout.count(), " parameters from ", from));
}

}  // namespace

void add_convert_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "write a model as a diffusers directory: fp32, current names");
  auto o = std::make_shared<ConvertOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--from", o->from,
                   "a run, a checkpoint, a diffusers directory (flat too) or the bare folder of a network")
      ->required();
  command->add_option("--out", o->out, "folder to make; must not exist or be empty")->required();
  command->callback([o] { run(*o); });
}

}  // namespace ito
