// SPDX-License-Identifier: Apache-2.0
// ito inspect: what a checkpoint, a model or a bare configuration holds.
#include <fmt/format.h>

#include <memory>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/input_file.h"
#include "engine/io/safetensors.h"
#include "engine/program/compute_type.h"
#include "engine/program/guided_network.h"
#include "engine/run/run_config.h"
#include "engine/training/fit_memory.h"
#include "engine/training/train_loss.h"
#include "kernels/seams/memory_limit.h"
#include "models/model.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct InspectOptions {
  std::string path, precision = "fp32";
  int batch = 64, height = 0, width = 0;
  int64_t max_memory = 0;  // MiB
  bool json = false, tensors = false, ops = false, plan = false;
};

Json plan_json(const Program& program) {
  Json kinds = Json::object();
  for (BlockKind kind : kBlockKinds) kinds[name_of(kind)] = program.plan().bytes_of(kind);
  return {
      {"arena_bytes", program.plan().bytes()}, {"lower_bound_bytes", program.plan().lower_bound()}, {"bytes", kinds}};
}

size_t with_weights(const Program& program) {
  return program.plan().bytes() + static_cast<size_t>(program.layout().arena_floats()) * sizeof(float);
}

// All that is taken at once, of the batch and of the largest that fits in one pass. Of inference: the network and its
// weights, without what a sampler keeps beside them; guided, of a network with classes: led away from that of none.
Json peaks_json(const InspectOptions& o, const Network& network, const SchedulerConfig& scheduler, DType compute) {
  const size_t free = device_memory_limit();
  const size_t limit = o.max_memory ? static_cast<size_t>(o.max_memory) << 20 : free;
  const auto inference_of = [&](const Network& asked) -> Json {
    const auto bytes = [&](int images) {
      Program program({.n = images, .compute = compute});
      plan_network(program, asked);
      return with_weights(program);
    };
    return {{"peak_bytes", bytes(o.batch)}, {"largest_batch", largest_within(limit, kMaxBatch, bytes)}};
  };
  Json peaks = {{"limit_bytes", limit}, {"inference", inference_of(network)}};
  if (network.labels == LabelKind::Index && network.real_classes() > 0)
    peaks["guided"] = inference_of(guided(network, {.weight = always(2), .guide = {}}));
  if (parameters_of(network).trainable_floats() == 0 || network.asks_level)
    return peaks;  // nothing that can be trained
  const NoiseSchedule schedule(scheduler);
  TrainSettings settings;
  const auto training = [&](int images) {
    settings.batch = images;
    settings.compute = compute;
    settings.learning_rate.steps = RunConfig().steps;
    settings.byte_images = true;
    settings.checkpoints = true;
    settings.loss = train_loss_of("", scheduler, "");
    return Trainer::bytes_needed(network, schedule, settings);
  };
  peaks["training"] = {{"peak_bytes", training(o.batch)},
                       {"largest_batch", largest_within(limit, kMaxBatch, training)}};
  settings.batch = o.batch;
  peaks["training"]["pass_images"] = largest_micro_batch(network, schedule, settings, limit);
  return peaks;
}

Json state_json(const std::string& path) {
  if (path.empty()) return nullptr;
  const SafetensorsFile file = SafetensorsFile::open(path);
  Json state;
  for (const char* name : {"state.step", "state.applied", "state.skipped", "seed"})
    if (file.has(name)) {
      file.check_shape(name, {});
      const int64_t value = file.read_i64(name).front();
      if (name == std::string_view("seed"))
        state[name] = static_cast<uint64_t>(value);
      else
        state[name] = value;
    }
  if (file.has("kernels")) state["kernels"] = read_kernels(file);
  return state;
}

Json describe(const InspectOptions& o) {
  const Model model = read_model(o.path);
  const ModelFiles& files = model.files;
  take_kernels_of(files);
  const SchedulerConfig scheduler = model.scheduler();
  const ImageShape& image = model.configured.image;
  const int least = model.configured.side_multiple;
  const int height = o.height ? o.height : image.height ? image.height : least;
  const int width = o.width ? o.width : image.width ? image.width : least;
  const Network network = model.network(height, width);
  const DType compute = compute_type_of(o.precision, "--precision");
  Program training({o.batch, Mode::Training, compute}), inference({o.batch, Mode::Inference, compute});
  plan_network(training, network);
  plan_network(inference, network);
  Json out = {{"architecture", model.configured.config},
              {"tensors", training.layout().all().size()},
              {"parameters", training.layout().count()},
              {"height", height},
              {"width", width},
              {"batch", o.batch},
              {"precision", name_of(compute)},
              {"memory", {{"training", plan_json(training)}, {"inference", plan_json(inference)}}},
              {"training_state", state_json(files.state)}};
  if (!files.scheduler.empty() || model.configured.scheduler) out["scheduler"] = scheduler_config_json(scheduler);
  if (!files.weights.empty()) {
    read_weights(files.weights, training.layout());  // every tensor is there and fits
    out["weights"] = files.weights;
  }
  if (!model.class_names.empty()) out["class_names"] = model.class_names;
  if (const KernelChoices choices = training.kernel_choices(); o.plan && !choices.empty())
    out["kernels"] = json_of(KernelTable{.source = "", .device = device_name(), .choices = choices});
  if (o.plan) out["plan"] = peaks_json(o, network, scheduler, compute);
  if (o.tensors)
    for (const Parameter& p : training.layout().all()) out["tensor_shapes"][p.name] = p.shape;
  if (o.ops)
    for (const auto& op : training.ops()) {
      Json row = {{"name", op->name}, {"kind", op->kind()}};
      if (!op->describe().empty()) row["implementations"] = op->describe();
      out["ops"].push_back(row);
    }
  return out;
}

void print_plan(const char* mode, const Json& plan) {
  std::printf("memory, %s: %.1f MiB in one arena (at least %.1f alive at once)\n", mode,
              plan.at("arena_bytes").get<double>() / 1048576, plan.at("lower_bound_bytes").get<double>() / 1048576);
  for (const auto& [kind, bytes] : plan.at("bytes").items())
    if (bytes.get<int64_t>())
      std::printf("  %-18s %10.1f MiB before sharing\n", kind.c_str(), bytes.get<double>() / 1048576);
}

void print_peaks(const Json& plan) {
  for (const char* mode : {"training", "inference", "guided"})
    if (plan.contains(mode)) {
      const int largest = plan.at(mode).at("largest_batch").get<int>();
      std::printf("peak, %s: %.1f MiB; largest batch in one pass within %.0f MiB: %s\n", mode,
                  plan.at(mode).at("peak_bytes").get<double>() / 1048576,
                  plan.at("limit_bytes").get<double>() / 1048576, largest ? std::to_string(largest).c_str() : "none");
      if (plan.at(mode).contains("pass_images"))
        std::printf("training, within that: passes of %s images\n", plan.at(mode).at("pass_images").dump().c_str());
    }
}

void print(const Json& d) {
  std::printf("%s for %s x %s images, %s tensors, %s parameters\n",
              d.at("architecture").at("_class_name").get<std::string>().c_str(), d.at("height").dump().c_str(),
              d.at("width").dump().c_str(), d.at("tensors").dump().c_str(), d.at("parameters").dump().c_str());
  for (const auto& [key, value] : d.at("architecture").items())
    if (!key.starts_with('_')) std::printf("  %-26s %s\n", printable(key).c_str(), json_result(value).c_str());
  if (d.contains("scheduler")) {
    std::printf("scheduler\n");
    for (const auto& [key, value] : d.at("scheduler").items())
      std::printf("  %-26s %s\n", printable(key).c_str(), json_result(value).c_str());
  }
  std::printf("batch %s, %s\n", d.at("batch").dump().c_str(), d.at("precision").get<std::string>().c_str());
  print_plan("training", d.at("memory").at("training"));
  print_plan("inference", d.at("memory").at("inference"));
  if (d.contains("plan")) print_peaks(d.at("plan"));
  if (d.contains("kernels")) {
    std::printf("kernels on %s, table %s\n", d.at("kernels").at("device").get<std::string>().c_str(),
                d.at("kernels").at("hash").get<std::string>().c_str());
    for (const auto& [layer, name] : d.at("kernels").at("choices").items())
      std::printf("  %-80s %s\n", layer.c_str(), name.get<std::string>().c_str());
  }
  if (d.contains("weights")) print_result("weights " + d.at("weights").get<std::string>());
  if (d.contains("class_names")) {
    std::printf("classes\n");
    int label = 0;
    for (const Json& name : d.at("class_names")) std::printf("  %-4d %s\n", label++, json_result(name).c_str());
  }
  if (!d.at("training_state").is_null())
    std::printf("training state %s\n", json_result(d.at("training_state")).c_str());
  if (d.contains("tensor_shapes"))
    for (const auto& [name, shape] : d.at("tensor_shapes").items())
      std::printf("%-60s %s\n", name.c_str(), shape.dump().c_str());
  if (d.contains("ops"))
    for (const Json& op : d.at("ops"))
      std::printf("%-12s %-48s %s\n", op.at("kind").get<std::string>().c_str(),
                  op.at("name").get<std::string>().c_str(), op.value("implementations", "").c_str());
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "show what a checkpoint or a config.json holds");
  auto o = std::make_shared<InspectOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("path", o->path, "a run, a checkpoint, a diffusers directory or a config.json")->required();
  command->add_flag("--json", o->json, "as JSON");
  command->add_flag("--tensors", o->tensors, "list every tensor");
  command->add_flag("--ops", o->ops, "list every op and what runs it");
  command->add_flag("--plan", o->plan,
                    "the most memory taken at once, the largest batch that fits, and what the layers are run by");
  command->add_option("--max-memory", o->max_memory, "with --plan: MiB to fit into; 0: what is free");
  command->add_option("--batch", o->batch, "images the memory plan is for");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--height", o->height, "image height; 0: as the model says");
  command->add_option("--width", o->width, "image width; 0: as the model says");
  command->callback([o] {
    check_batch(o->batch);
    check_image_size(o->height, o->width);
    ITO_USER_CHECK(o->max_memory >= 0 && o->max_memory <= (int64_t{1} << 40), "--max-memory ", o->max_memory,
                   ": expected 0 to 1099511627776 MiB (0: what is free)");
    ITO_USER_CHECK(o->plan || o->max_memory == 0, "--max-memory: is for --plan; add it, or leave --max-memory out");
    const Json description = describe(*o);
    if (o->json)
      print_json(description, 2);
    else
      print(description);
  });
}

}  // namespace ito
