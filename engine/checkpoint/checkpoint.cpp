// SPDX-License-Identifier: Apache-2.0
// See checkpoint.h. Every tensor of a file is compared with the layout before anything is allocated.
#include "engine/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "engine/checkpoint/run_checkpoints.h"
#include "engine/io/atomic_file.h"
#include "engine/io/atomic_folder.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPickle = "diffusion_pytorch_model.bin";
constexpr const char* kPickleIsRefused =
    ": a pickled checkpoint can run code when it is read and is not supported; save it as "
    "diffusion_pytorch_model.safetensors";

std::string first_existing(std::initializer_list<fs::path> candidates) {
  for (const fs::path& path : candidates)
    if (fs::exists(path)) return path.string();
  return {};
}

std::string read_latest(const fs::path& file) {
  const std::vector<uint8_t> bytes = read_whole_file(file.string(), 4096);
  std::string name(bytes.begin(), bytes.end());
  while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
  ITO_USER_CHECK(!name.empty() && name.find('/') == std::string::npos, file.string(), ": names ", quote_name(name),
                 ", expected the name of a checkpoint folder beside it");
  return name;
}

// Names of 2022 for the attention's layers.
std::string legacy_name(const std::string& name) {
  static constexpr std::pair<const char*, const char*> kRenamed[] = {
      {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
  for (const auto& [now, before] : kRenamed) {
    const size_t at = name.find(now);
    if (at != std::string::npos) return name.substr(0, at) + before + name.substr(at + std::strlen(now));
  }
  return {};
}

// Shapes agree, or differ by trailing ones (a linear layer once stored as a 1x1 convolution).
bool same_shape(std::vector<int64_t> a, std::vector<int64_t> b) {
  while (a.size() > b.size() && a.back() == 1) a.pop_back();
  while (b.size() > a.size() && b.back() == 1) b.pop_back();
  return a == b;
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

// prefix: "" for a model's file, "weights." and so on inside a snapshot.
void read_arena(const SafetensorsFile& file, const std::string& prefix, const ParameterLayout& layout,
                std::vector<float>& arena, bool trainable_only) {
  // Every shape is compared before anything is allocated: a configuration may ask for more than there is memory.
  std::vector<std::pair<const Parameter*, std::string>> found;
  for (const Parameter& p : layout.all()) {
    if (trainable_only && !p.trainable) continue;
    std::string name = prefix + p.name;
    if (!file.has(name) && !legacy_name(p.name).empty()) name = prefix + legacy_name(p.name);
    ITO_USER_CHECK(file.has(name), file.path(), ": tensor ", p.name, " is missing; expected shape ", text_of(p.shape),
                   " by the model's configuration");
    const std::vector<int64_t>& shape = file.entry(name).shape;
    ITO_USER_CHECK(same_shape(shape, p.shape), file.path(), ": tensor ", name, " has shape ", text_of(shape),
                   "; the model's configuration asks for ", text_of(p.shape));
    found.emplace_back(&p, name);
  }
  arena.assign(layout.arena_floats(), 0.0f);
  for (const auto& [p, name] : found) from_file_layout(*p, file.read_f32(name), arena.data());
}

void add_arena(SafetensorsWriter& writer, const std::string& prefix, const ParameterLayout& layout,
               const std::vector<float>& arena, bool trainable_only) {
  for (const Parameter& p : layout.all())
    if (p.trainable || !trainable_only) writer.add(prefix + p.name, p.shape, to_file_layout(p, arena.data()));
}

// The whole state, what only the log shows included: a line may come before the next step has set it anew.
template <class T>
struct StateField {
  const char* name;
  T TrainState::*value;
};
constexpr StateField<int64_t> kIntegers[] = {{"state.step", &TrainState::step},
                                             {"state.applied", &TrainState::applied},
                                             {"state.skipped", &TrainState::skipped},
                                             {"state.skipped_in_row", &TrainState::skipped_in_row},
                                             {"state.most_skipped_in_row", &TrainState::most_skipped_in_row},
                                             {"state.loss_count", &TrainState::loss_count}};
constexpr StateField<double> kDoubles[] = {{"state.beta1_power", &TrainState::beta1_power},
                                           {"state.beta2_power", &TrainState::beta2_power},
                                           {"state.loss_sum", &TrainState::loss_sum},
                                           {"state.last_loss", &TrainState::last_loss},
                                           {"state.gradient_norm", &TrainState::gradient_norm}};
constexpr StateField<float> kFloats[] = {{"state.learning_rate", &TrainState::learning_rate},
                                         {"state.gradient_scale", &TrainState::gradient_scale},
                                         {"state.bias_correction1", &TrainState::bias_correction1},
                                         {"state.bias_correction2", &TrainState::bias_correction2},
                                         {"state.ema_decay", &TrainState::ema_decay}};
constexpr StateField<int32_t> kFlags[] = {{"state.apply", &TrainState::apply}};

template <class T>
void add_scalar(SafetensorsWriter& writer, const char* name, TensorType type, const T& value) {
  writer.add_raw(name, type, {}, {reinterpret_cast<const uint8_t*>(&value), sizeof(T)});
}

constexpr const char* kStateIsExpected = " is missing; expected a training state as this version of ito writes it";

template <class T>
void read_scalar(const SafetensorsFile& file, const char* name, TensorType type, T& value) {
  ITO_USER_CHECK(file.has(name), file.path(), ": tensor ", name, kStateIsExpected);
  file.check_shape(name, {});
  ITO_USER_CHECK(file.entry(name).type == type, file.path(), ": tensor ", name, " is ", name_of(file.entry(name).type),
                 "; expected one ", name_of(type));
  std::memcpy(&value, file.read_raw(name).data(), sizeof(T));
}

// The same walk for writing and reading, so that neither forgets what the other has. visit(name, type, value).
template <class Snapshot, class Visit>
void for_each_scalar(Snapshot& snapshot, const Visit& visit) {
  for (const auto& field : kIntegers) visit(field.name, TensorType::I64, snapshot.state.*field.value);
  for (const auto& field : kDoubles) visit(field.name, TensorType::F64, snapshot.state.*field.value);
  for (const auto& field : kFloats) visit(field.name, TensorType::F32, snapshot.state.*field.value);
  for (const auto& field : kFlags) visit(field.name, TensorType::I32, snapshot.state.*field.value);
  visit("seed", TensorType::I64, snapshot.seed);
  visit("configuration_hash", TensorType::I64, snapshot.configuration_hash);
  visit("data_fingerprint", TensorType::I64, snapshot.data_fingerprint);
}

constexpr const char* kKernels = "kernels";
constexpr size_t kMostKernelsText = 1000;

// What `path` means as a run: the checkpoint that `latest` names or, where that is not whole, the newest one that is.
fs::path resolve_run(const fs::path& directory) {
  const fs::path latest = directory / "latest";
  const bool has_latest = fs::exists(latest);
  const fs::path named = has_latest ? directory / read_latest(latest) : fs::path();
  if (has_latest && is_whole_model(named.string())) return named;
  if (const auto newest = newest_checkpoint(directory.string())) return newest->path;
  ITO_USER_CHECK(!has_latest || fs::is_directory(named), directory.string(), ": its file `latest` names ",
                 named.string(), ", which is not there");
  return has_latest ? named : directory;
}

}  // namespace

ModelFiles find_model(const std::string& path) {
  fs::path directory(path);
  ITO_USER_CHECK(fs::exists(directory), path, ": no such file or folder; expected a run, a checkpoint or a model");
  ModelFiles files;
  if (!fs::is_directory(directory)) {
    ITO_USER_CHECK(directory.extension() != ".bin", path, kPickleIsRefused);
    ITO_USER_CHECK(directory.extension() == ".json", path,
                   ": is a file; expected the folder of a run, a checkpoint or a model, or a config.json");
    files.unet_config = path;
    return files;
  }
  directory = resolve_run(directory);
  files.directory = directory.string();
  files.unet_config = first_existing({directory / "unet" / "config.json", directory / "config.json"});
  ITO_USER_CHECK(!files.unet_config.empty(), files.directory,
                 ": found neither unet/config.json nor config.json; expected a diffusers model or a training run");
  const fs::path beside = fs::path(files.unet_config).parent_path();
  files.weights = first_existing({beside / kWeightsFile, directory / kWeightsFile});
  files.scheduler =
      first_existing({directory / "scheduler" / "scheduler_config.json", directory / "scheduler_config.json"});
  files.state = first_existing({directory / kTrainingStateFile});
  ITO_USER_CHECK(!files.weights.empty() || !fs::exists(beside / kPickle), (beside / kPickle).string(),
                 kPickleIsRefused);
  return files;
}

SchedulerConfig read_scheduler(const ModelFiles& files, std::vector<std::string>* warnings) {
  if (files.scheduler.empty()) return {};
  std::vector<std::string> found;
  const SchedulerConfig config = parse_scheduler_config(read_json_file(files.scheduler), files.scheduler, found);
  if (warnings) warnings->insert(warnings->end(), found.begin(), found.end());
  return config;
}

std::vector<float> read_weights(const std::string& path, const ParameterLayout& layout) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<float> arena;
  read_arena(file, "", layout, arena, false);
  for (const std::string& name : file.names()) {
    bool known = layout.has(name);
    for (const Parameter& p : layout.all())  // an old name beside the new one would be passed over
      known = known || (!name.empty() && legacy_name(p.name) == name && !file.has(p.name));
    ITO_USER_CHECK(known, path, ": tensor ", quote_name(name),
                   " is not part of the configured model; check config.json");
  }
  return arena;
}

void write_weights(const std::string& path, const ParameterLayout& layout, const std::vector<float>& arena) {
  SafetensorsWriter writer;
  add_arena(writer, "", layout, arena, false);
  writer.write(path);
}

void write_snapshot(const std::string& path, const ParameterLayout& layout, const TrainingSnapshot& snapshot) {
  SafetensorsWriter writer;
  add_arena(writer, "weights.", layout, snapshot.weights, false);
  add_arena(writer, "first_moment.", layout, snapshot.first_moment, true);
  add_arena(writer, "second_moment.", layout, snapshot.second_moment, true);
  for_each_scalar(snapshot,
                  [&](const char* name, TensorType type, const auto& value) { add_scalar(writer, name, type, value); });
  writer.add_u8(kKernels, {static_cast<int64_t>(snapshot.kernels.size())},
                std::vector<uint8_t>(snapshot.kernels.begin(), snapshot.kernels.end()));
  writer.write(path);
}

std::string read_kernels(const SafetensorsFile& state) {
  ITO_USER_CHECK(state.has(kKernels), state.path(), ": tensor ", kKernels, kStateIsExpected);
  const SafetensorsFile::Entry& entry = state.entry(kKernels);
  ITO_USER_CHECK(entry.type == TensorType::U8 && entry.shape.size() == 1 && entry.end - entry.begin <= kMostKernelsText,
                 state.path(), ": tensor ", kKernels, " is ", name_of(entry.type), " ", text_of(entry.shape),
                 "; expected a line of text, U8 of at most ", kMostKernelsText);
  const std::vector<uint8_t> bytes = state.read_raw(kKernels);
  const bool printable = std::all_of(bytes.begin(), bytes.end(), [](uint8_t c) { return c >= 0x20 && c < 0x7F; });
  ITO_USER_CHECK(printable, state.path(), ": tensor ", kKernels, " holds what is no text; expected printable ASCII");
  return {bytes.begin(), bytes.end()};
}

size_t checkpoint_copy_bytes(const ParameterLayout& layout) {
  const size_t arena = sizeof(float) * layout.arena_floats();
  return 7 * arena;  // weights, moments and EMA; the first three once more as tensors of the file
}

TrainingSnapshot read_snapshot(const std::string& path, const ParameterLayout& layout) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  TrainingSnapshot snapshot;
  read_arena(file, "weights.", layout, snapshot.weights, false);
  read_arena(file, "first_moment.", layout, snapshot.first_moment, true);
  read_arena(file, "second_moment.", layout, snapshot.second_moment, true);
  snapshot.kernels = read_kernels(file);
  std::vector<std::string> known{kKernels};
  for_each_scalar(snapshot, [&](const char* name, TensorType type, auto& value) {
    read_scalar(file, name, type, value);
    known.push_back(name);
  });
  for (const Parameter& p : layout.all()) {
    known.push_back("weights." + p.name);
    if (p.trainable) known.insert(known.end(), {"first_moment." + p.name, "second_moment." + p.name});
  }
  std::sort(known.begin(), known.end());
  for (const std::string& name : file.names())
    ITO_USER_CHECK(std::binary_search(known.begin(), known.end(), name), path, ": tensor ", quote_name(name),
                   " is not part of a training state of this model", did_you_mean(name, known));
  return snapshot;
}

void write_model(const std::string& directory, const Json& unet_config, const SchedulerConfig& scheduler,
                 const ParameterLayout& layout, const std::vector<float>& unet_weights,
                 const TrainingSnapshot* snapshot) {
  const fs::path temporary = directory + ".partial";
  std::error_code ignored;
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary / "unet");
    fs::create_directories(temporary / "scheduler");
    const std::string class_name(name_of(scheduler.scheduler_class));
    write_json_file(
        (temporary / "model_index.json").string(),
        {{"_class_name", scheduler.scheduler_class == SchedulerClass::Ddpm ? "DDPMPipeline" : "DDIMPipeline"},
         {"_diffusers_version", kDiffusersVersion},
         {"scheduler", {"diffusers", class_name}},
         {"unet", {"diffusers", "UNet2DModel"}}});
    write_json_file((temporary / "unet" / "config.json").string(), unet_config);
    write_json_file((temporary / "scheduler" / "scheduler_config.json").string(), scheduler_config_json(scheduler));
    write_weights((temporary / "unet" / kWeightsFile).string(), layout, unet_weights);
    if (snapshot) write_snapshot((temporary / kTrainingStateFile).string(), layout, *snapshot);
    put_folder_in_place(temporary, directory);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(temporary, ignored);
    fail<UserError>(directory, ": cannot be written: ", e.code().message(),
                    "; choose another folder or free some space");
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
}

std::string checkpoint_name(int64_t step) {
  std::string digits = std::to_string(step);
  return "checkpoint-" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

void write_latest(const std::string& out, const std::string& name) {
  write_file_atomically((fs::path(out) / "latest").string(), name + "\n");
}

}  // namespace ito
