// SPDX-License-Identifier: Apache-2.0
// ito predict: the network once, on tensors from a file.
#include "engine/reverse/predictor.h"

#include <cmath>
#include <filesystem>
#include <memory>

#include "engine/diffusion/levels.h"
#include "engine/io/atomic_file.h"
#include "engine/io/layout.h"
#include "engine/io/safetensors.h"
#include "engine/program/compute_type.h"
#include "engine/program/memory_check.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_on_device.h"
#include "tools/commands/average_flag.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/guidance_flags.h"
#include "tools/commands/rank_work.h"

namespace ito {
namespace {

struct PredictOptions {
  std::string checkpoint, ema, input, output, precision = "fp32";
  GuidanceFlags guidance;
  int batch = 64, threads = 0;
};

std::vector<float> read_labels(const SafetensorsFile& file, const Network& network, int64_t n) {
  if (network.labels == LabelKind::None) return {};
  ITO_USER_CHECK(file.has("class_labels"), file.path(), ": has no tensor class_labels, which this model needs");
  if (network.labels == LabelKind::Value) {
    const bool wide = network.label_width > 1;
    file.check_shape("class_labels", wide ? std::vector<int64_t>{n, network.label_width} : std::vector<int64_t>{n});
    std::vector<float> values = file.read_f32("class_labels");
    for (const float value : values)
      ITO_USER_CHECK(std::isfinite(value), file.path(), ": class_labels holds ", value, "; expected finite numbers");
    return values;
  }
  file.check_shape("class_labels", {n});
  const std::vector<int64_t> classes = file.read_i64("class_labels");
  for (int64_t c : classes)
    ITO_USER_CHECK(c >= 0 && c < network.classes, file.path(), ": class_labels holds ", c,
                   "; the model has classes 0 to ", network.classes - 1);
  return {classes.begin(), classes.end()};
}

void refuse_same_file(const std::string& output, const std::string& other, const char* what) {
  std::error_code none_there;
  ITO_USER_CHECK(!std::filesystem::equivalent(output, other, none_there), "--output ", output, ": is ", what, ", ",
                 other, "; choose another file");
}

// (N, 2): alpha and sigma of the model's noise schedule at the timesteps, for a network that is asked at them.
std::vector<float> levels_of(const ModelOnDevice& model, const std::vector<float>& timesteps) {
  std::vector<float> pairs;
  if (!model.network.asks_level) return pairs;
  const Levels levels{NoiseSchedule(model.scheduler)};
  for (const float t : timesteps) {
    const Level level = levels.at(t);
    pairs.push_back(static_cast<float>(level.alpha));
    pairs.push_back(static_cast<float>(level.sigma));
  }
  return pairs;
}

// steps: T of the model's noise schedule.
void check_timestep(const TimeDomain& time, int steps, const std::string& where, float t) {
  ITO_USER_CHECK(std::isfinite(t), where, ": timestep holds ", t, "; expected finite numbers");
  if (time.rows)
    ITO_USER_CHECK(t >= 0 && t < static_cast<float>(time.rows) && t == std::floor(t), where, ": timestep holds ", t,
                   "; the model takes whole numbers 0 to ", time.rows - 1, " (", time.why, ")");
  ITO_USER_CHECK(!time.positive || t > 0, where, ": timestep holds ", t, "; the model takes numbers above 0 (",
                 time.why, ")");
  ITO_USER_CHECK(t >= 0 && t <= static_cast<float>(steps - 1), where, ": timestep holds ", t,
                 "; the model's noise schedule has timesteps 0 to ", steps - 1);
}

std::vector<float> own_rows(std::vector<float> rows, const ItemShares& shares) {
  const IndexRange& own = shares.own();
  if (own.count == shares.count()) return rows;
  const auto width = static_cast<int64_t>(rows.size()) / shares.count();
  return {rows.begin() + own.first * width, rows.begin() + own.end() * width};
}

void run(const PredictOptions& o, const CLI::App& command, Communicator& ranks) {
  check_batch(o.batch);
  check_threads(o.threads);
  check_guidance(o.guidance);
  refuse_same_file(o.output, o.input, "--input");
  set_threads_of_rank(ranks, o.threads);
  const SafetensorsFile file = SafetensorsFile::open(o.input);
  for (const char* name : {"sample", "timestep"})
    ITO_USER_CHECK(file.has(name), o.input, ": has no tensor ", name,
                   "; expected sample (N, C, H, W) and timestep (N)");
  const std::vector<int64_t> shape = file.entry("sample").shape;
  ITO_USER_CHECK(shape.size() == 4, o.input, ": sample has ", shape.size(), " dimensions; expected (N, C, H, W)");
  for (int64_t extent : shape)
    ITO_USER_CHECK(extent >= 1 && extent <= int64_t{1} << 24, o.input, ": sample has a dimension of ", extent,
                   "; expected 1 to ", 1 << 24);
  for (int d : {2, 3})
    ITO_USER_CHECK(shape[d] <= kMaxImageSide, o.input, ": sample is of images of ", shape[2], " x ", shape[3],
                   "; expected at most ", kMaxImageSide, " a side");
  const TensorType sample_type = file.entry("sample").type;
  ITO_USER_CHECK(is_float(sample_type), o.input, ": sample is ", name_of(sample_type),
                 "; expected F32, F16, BF16 or F64");
  const int64_t n = shape[0];
  const ModelOnDevice model = with_guidance(
      load_model(o.checkpoint, static_cast<int>(shape[2]), static_cast<int>(shape[3]), o.ema), o.guidance);
  refuse_same_file(o.output, model.model.files.weights, "the model's weights");
  refuse_same_file(o.output, model.model.files.config, "the model's configuration");
  const Network& network = model.network;
  ITO_USER_CHECK(shape[1] == network.image.channels, o.input, ": sample has ", shape[1], " channels; the model takes ",
                 network.image.channels);
  file.check_shape("timestep", {n});
  const TensorType type = file.entry("timestep").type;
  ITO_USER_CHECK(type == TensorType::I64 || type == TensorType::I32 || type == TensorType::F32, o.input,
                 ": timestep is ", name_of(type), "; expected I64, I32 or F32");
  const std::vector<float> timesteps = file.read_f32("timestep");
  for (float t : timesteps) check_timestep(network.time, model.scheduler.num_train_timesteps, o.input, t);
  const std::vector<float> labels = read_labels(file, network, n);
  const size_t limit = memory_of_rank(ranks, device_memory_limit());
  check_memory("reading the input",
               {{"images", saturated_product(
                               {2, static_cast<size_t>(n), static_cast<size_t>(network.image.size()), sizeof(float)})}},
               limit, "split the input into smaller files");
  const ItemShares shares(ranks, n);
  check_ranks_alike(ranks, command, model, {file_fact("--input", o.input)});
  if (shares.first_rank()) const AtomicFile probe(o.output);  // whether it can be written is known before the work
  const DType compute = compute_type_of(o.precision, "--precision");
  const std::vector<float> own_timesteps = own_rows(timesteps, shares);
  std::vector<float> out;
  if (shares.own().count)
    out = predict(network, model.weights.data(), compute, o.batch,
                  own_rows(to_interleaved(file.read_f32("sample"), n, network.image), shares), own_timesteps,
                  own_rows(labels, shares), levels_of(model, own_timesteps), limit);
  shares.collect(out);
  if (!shares.first_rank()) return;
  SafetensorsWriter writer;
  const ImageShape answer{network.image.height, network.image.width, network.out_channels};
  writer.add("prediction", {n, answer.channels, answer.height, answer.width}, to_planar(out, n, answer));
  writer.write(o.output);
}

}  // namespace

void add_predict_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command = app.add_subcommand("predict", "run the network once on given tensors");
  auto o = std::make_shared<PredictOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--checkpoint", o->checkpoint,
                   "a run, a checkpoint, a diffusers directory or the file of an exact network")
      ->required();
  add_average_flag(*command, o->ema);
  command->add_option("--input", o->input, "safetensors: sample (N, C, H, W), timestep (N), class_labels (N)")
      ->required();
  command->add_option("--output", o->output, "safetensors file to write, with `prediction`")->required();
  add_guidance_flags(*command, o->guidance);
  command->add_option("--batch", o->batch, "images at a time");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->callback([o, command, &ranks] { run(*o, *command, ranks); });
}

}  // namespace ito
