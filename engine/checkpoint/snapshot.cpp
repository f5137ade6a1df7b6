// SPDX-License-Identifier: Apache-2.0
// See snapshot.h. Every field is a tensor of its own, so that a missing or strange one is refused by name.
#include "engine/checkpoint/snapshot.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/checkpoint/weights.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/ranks/shared_file.h"
#include "kernels/diffusion/level_losses.h"
#include "kernels/error.h"

namespace ito {
namespace {

template <class T>
constexpr TensorType tensor_type_of() {
  static_assert(std::is_same_v<T, int64_t> || std::is_same_v<T, uint64_t> || std::is_same_v<T, double> ||
                std::is_same_v<T, float> || std::is_same_v<T, int32_t>);
  if constexpr (std::is_same_v<T, double>) return TensorType::F64;
  if constexpr (std::is_same_v<T, float>) return TensorType::F32;
  if constexpr (std::is_same_v<T, int32_t>) return TensorType::I32;
  return TensorType::I64;  // an unsigned number as the signed one of the same bits
}

template <class T>
void add_scalar(SafetensorsWriter& writer, const std::string& name, const T& value) {
  writer.add_raw(name, tensor_type_of<T>(), {}, {reinterpret_cast<const uint8_t*>(&value), sizeof(T)});
}

constexpr const char* kStateIsExpected = " is missing; expected a training state as this version of ito writes it";

template <class T>
void read_scalar(const SafetensorsFile& file, const std::string& name, T& value) {
  ITO_USER_CHECK(file.has(name), file.path(), ": tensor ", name, kStateIsExpected);
  file.check_shape(name, {});
  constexpr TensorType type = tensor_type_of<T>();
  ITO_USER_CHECK(file.entry(name).type == type, file.path(), ": tensor ", name, " is ", name_of(file.entry(name).type),
                 "; expected one ", name_of(type));
  std::memcpy(&value, file.read_raw(name).data(), sizeof(T));
}

// The same walk for writing and reading, so that neither forgets what the other has. visitor(name, value).
template <class Snapshot, class Visitor>
void for_each_scalar(Snapshot& snapshot, const Visitor& visitor) {
  TrainState::visit(snapshot.state, [&](const std::string& name, auto& value) { visitor("state." + name, value); });
  visitor("seed", snapshot.seed);
  visitor("configuration_hash", snapshot.configuration_hash);
  visitor("data_fingerprint", snapshot.data_fingerprint);
}

constexpr const char* kLevelLosses = "level_losses.losses";
constexpr const char* kLevelCounts = "level_losses.counts";

// Both are there or neither; Trainer::set_level_losses holds them against the draw and its levels.
LevelLosses read_level_losses(const SafetensorsFile& file) {
  LevelLosses kept;
  if (!file.has(kLevelLosses) && !file.has(kLevelCounts)) return kept;
  for (const char* name : {kLevelLosses, kLevelCounts})
    ITO_USER_CHECK(file.has(name), file.path(), ": tensor ", name, kStateIsExpected);
  const std::vector<int64_t> counts = file.read_i64(kLevelCounts);
  file.check_shape(kLevelCounts, {std::ssize(counts)});
  file.check_shape(kLevelLosses, {std::ssize(counts), kLevelHistory});
  kept.losses = file.read_f32(kLevelLosses);
  for (const int64_t count : counts) {
    ITO_USER_CHECK(count >= 0 && count < 2 * kLevelHistory, file.path(), ": tensor ", kLevelCounts, " holds ", count,
                   "; expected 0 to ", 2 * kLevelHistory - 1);
    kept.counts.push_back(static_cast<int32_t>(count));
  }
  return kept;
}

constexpr const char* kKernels = "kernels";
constexpr size_t kMostKernelsText = 1000;

}  // namespace

void write_snapshot(const std::string& path, const ParameterLayout& layout, const TrainingSnapshot& snapshot,
                    Communicator* ranks) {
  SafetensorsWriter writer;
  add_arena(writer, "weights.", layout, snapshot.weights, false);
  add_arena(writer, "first_moment.", layout, snapshot.first_moment, true);
  add_arena(writer, "second_moment.", layout, snapshot.second_moment, true);
  for_each_scalar(snapshot, [&](const std::string& name, const auto& value) { add_scalar(writer, name, value); });
  const LevelLosses& kept = snapshot.level_losses;
  if (!kept.counts.empty()) {
    writer.add(kLevelLosses, {std::ssize(kept.counts), kLevelHistory}, kept.losses);
    writer.add_i64(kLevelCounts, {std::ssize(kept.counts)}, {kept.counts.begin(), kept.counts.end()});
  }
  writer.add_u8(kKernels, {static_cast<int64_t>(snapshot.kernels.size())},
                std::vector<uint8_t>(snapshot.kernels.begin(), snapshot.kernels.end()));
  ranks ? write_together(writer, path, *ranks) : writer.write(path);
}

std::string read_kernels(const SafetensorsFile& state) {
  ITO_USER_CHECK(state.has(kKernels), state.path(), ": tensor ", kKernels, kStateIsExpected);
  const SafetensorsFile::Entry& entry = state.entry(kKernels);
  ITO_USER_CHECK(entry.type == TensorType::U8 && entry.shape.size() == 1 && entry.end - entry.begin <= kMostKernelsText,
                 state.path(), ": tensor ", kKernels, " is ", name_of(entry.type), " ", shape_text(entry.shape),
                 "; expected a line of text, U8 of at most ", kMostKernelsText);
  const std::vector<uint8_t> bytes = state.read_raw(kKernels);
  const bool printable = std::all_of(bytes.begin(), bytes.end(), [](uint8_t c) { return c >= 0x20 && c < 0x7F; });
  ITO_USER_CHECK(printable, state.path(), ": tensor ", kKernels, " holds what is no text; expected printable ASCII");
  return {bytes.begin(), bytes.end()};
}

size_t checkpoint_copy_bytes(const ParameterLayout& layout, int ranks, int emas) {
  size_t most = 0;
  for (int rank = 0; rank < ranks; ++rank)
    most = std::max(most, static_cast<size_t>(part_of_rank(layout, ranks, rank).count));
  const size_t arena = sizeof(float) * most;
  // Weights, moments and averages; the first three once more as tensors of the file.
  return static_cast<size_t>(6 + emas) * arena;
}

TrainingSnapshot read_snapshot(const std::string& path, const ParameterLayout& layout) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  TrainingSnapshot snapshot;
  snapshot.weights.values = read_arena(file, "weights.", layout, false);
  snapshot.first_moment.values = read_arena(file, "first_moment.", layout, true);
  snapshot.second_moment.values = read_arena(file, "second_moment.", layout, true);
  snapshot.kernels = read_kernels(file);
  snapshot.level_losses = read_level_losses(file);
  std::vector<std::string> known{kKernels, kLevelLosses, kLevelCounts};
  for_each_scalar(snapshot, [&](const std::string& name, auto& value) {
    read_scalar(file, name, value);
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

}  // namespace ito
