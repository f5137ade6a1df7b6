// SPDX-License-Identifier: Apache-2.0
// ito convert: any model that can be read, written anew as a diffusers directory of today: component folders, fp32
// weights under current names, every configuration key spelled out. A training checkpoint loses its training state.
#include <memory>
#include <optional>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/weights.h"
#include "models/model.h"
#include "tools/commands/average_flag.h"
#include "tools/commands/commands.h"
#include "tools/commands/output_folder.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct ConvertOptions {
  std::string from, ema, out;
};

void run(const ConvertOptions& o) {
  const std::string out = new_directory(o.out);
  Model model = read_model(o.from);
  if (!o.ema.empty()) take_average(model.files, o.ema);
  const ImageShape& image = model.configured.image;
  const int least = model.configured.side_multiple;  // no tensor depends on the image's size
  const ParameterLayout layout =
      parameters_of(model.network(image.height ? image.height : least, image.width ? image.width : least));
  const bool weightless = layout.all().empty();
  const std::string from = weightless ? model.where : model.weights_file();
  const SchedulerConfig scheduler = model.scheduler();

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
  add_average_flag(*command, o->ema);
  command->add_option("--out", o->out, "folder to make; must not exist or be empty")->required();
  command->callback([o] { run(*o); });
}

}  // namespace ito
