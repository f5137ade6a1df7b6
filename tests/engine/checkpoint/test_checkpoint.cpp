// SPDX-License-Identifier: Apache-2.0
// Models on disk: what is written comes back bit for bit, every layout in circulation is found, and every misfit is
// refused with one line that names the tensor.
#include "engine/checkpoint/directory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>

#include "engine/checkpoint/find_model.h"
#include "engine/checkpoint/names.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/safetensors.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAttention = "mid_block.attentions.0";

Parameter parameter(const std::string& name, ParameterKind kind, std::vector<int64_t> shape, bool trainable = true) {
  Parameter p;
  p.name = name;
  p.kind = kind;
  p.shape = std::move(shape);
  p.trainable = trainable;
  return p;
}

// One of every kind, the four projections of an attention and a frozen tensor.
ParameterLayout small_layout() {
  std::vector<Parameter> all{parameter("conv_in.weight", ParameterKind::Convolution, {4, 3, 3, 2}),
                             parameter("conv_in.bias", ParameterKind::Vector, {4}),
                             parameter("class_embedding.weight", ParameterKind::Table, {5, 7}),
                             parameter("time_proj.weight", ParameterKind::Vector, {9}, false)};
  for (const char* layer : {".to_q", ".to_k", ".to_v", ".to_out.0"}) {
    all.push_back(parameter(std::string(kAttention) + layer + ".weight", ParameterKind::Linear, {4, 4}));
    all.push_back(parameter(std::string(kAttention) + layer + ".bias", ParameterKind::Vector, {4}));
  }
  return ParameterLayout(all);
}

// Different numbers in every place, padding zero; among them those that a careless conversion changes.
std::vector<float> arena_of(const ParameterLayout& layout, float offset, bool trainable_only = false) {
  std::vector<float> arena(layout.arena_floats(), 0.0f);
  for (const Parameter& p : layout.all()) {
    if (trainable_only && !p.trainable) continue;
    for (int64_t i = 0; i < p.count(); ++i) arena[p.offset + i] = offset + std::sin(static_cast<float>(p.offset + i));
  }
  float* first = arena.data() + layout.find("conv_in.weight").offset;
  first[0] = -0.0f;
  first[1] = std::numeric_limits<float>::denorm_min();
  first[2] = std::numeric_limits<float>::max();
  first[3] = -std::numeric_limits<float>::infinity();
  return arena;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

const Component kUnet{"unet", "UNet2DModel", {{"_class_name", "UNet2DModel"}, {"in_channels", 3}}, {}};
const ComponentFolders kFolders{"unet", "transformer"};

SchedulerConfig some_scheduler() {
  SchedulerConfig c;
  c.class_name = "DDIMScheduler";
  c.num_train_timesteps = 77;
  c.beta_schedule = BetaSchedule::SquaredCosCapV2;
  c.prediction_type = quantity_of("v_prediction", "");
  return c;
}

TrainingSnapshot some_snapshot(const ParameterLayout& layout) {
  TrainingSnapshot snapshot;
  snapshot.state.step = 12345678901;
  snapshot.state.applied = 12345678899;
  snapshot.state.skipped = 2;
  snapshot.state.skipped_in_row = 1;
  snapshot.state.most_skipped_in_row = 5;
  snapshot.state.beta1_power = 1e-300;
  snapshot.state.beta2_power = 0.1 + 0.2;  // not a short decimal
  snapshot.state.loss_sum = 1.0 / 3.0;
  snapshot.state.loss_count = 7;
  snapshot.seed = 0xFEDCBA9876543210u;
  snapshot.kernels = "cpu, a library 1.2, plans 00ff";
  snapshot.weights.values = arena_of(layout, 1);
  snapshot.first_moment.values = arena_of(layout, 2, true);
  snapshot.second_moment.values = arena_of(layout, 3, true);
  return snapshot;
}

// Every file below a folder: relative path to content.
std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& item : fs::recursive_directory_iterator(folder))
    if (item.is_regular_file()) files[fs::relative(item.path(), folder).string()] = read_bytes(item.path().string());
  return files;
}

// A weights file with today's names, through `edit` (name, shape), which may rename, reshape or drop (empty name).
template <class Edit>
std::string write_edited(const TempFolder& folder, const ParameterLayout& layout, const std::vector<float>& arena,
                         const Edit& edit) {
  SafetensorsWriter writer;
  for (const Parameter& p : layout.all()) {
    std::string name = p.name;
    std::vector<int64_t> shape = p.shape;
    edit(name, shape);
    if (!name.empty()) writer.add(name, shape, to_file_layout(p, arena.data()));
  }
  const std::string path = folder / kWeightsFile;
  writer.write(path);
  return path;
}

TEST(Checkpoint, AModelComesBackBitForBit) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const std::vector<float> weights = arena_of(layout, 0);
  write_model(folder / "model", kUnet, some_scheduler(), layout, weights, nullptr);
  const ModelFiles files = find_model(folder / "model", kFolders);
  EXPECT_EQ(files.directory, folder / "model");
  EXPECT_EQ(files.config, folder / "model/unet/config.json");
  EXPECT_EQ(files.weights, (folder / "model/unet/") + kWeightsFile);
  EXPECT_EQ(files.state, "");
  EXPECT_TRUE(same_bits(read_weights(files.weights, layout), weights));
  EXPECT_EQ(read_json_file(files.config), kUnet.config);
  EXPECT_EQ(files.folder, "unet");
  EXPECT_EQ(read_scheduler(files), some_scheduler());
  const Json index = read_json_file(folder / "model/model_index.json");
  EXPECT_EQ(index.at("_class_name"), "DDIMPipeline");
  EXPECT_EQ(index.at("unet"), Json({"diffusers", "UNet2DModel"}));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"model"}) << "something was left beside the model";
}

TEST(Checkpoint, FiltersAreStoredAsTheFormatSays) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const std::vector<float> arena = arena_of(layout, 0);
  write_weights(folder / "w.safetensors", layout, arena);
  const SafetensorsFile file = SafetensorsFile::open(folder / "w.safetensors");
  file.check_shape("conv_in.weight", {4, 3, 3, 2});
  const std::vector<float> stored = file.read_f32("conv_in.weight");
  const float* memory = arena.data() + layout.find("conv_in.weight").offset;
  for (int k = 0; k < 4; ++k)
    for (int c = 0; c < 3; ++c)
      for (int r = 0; r < 3; ++r)
        for (int s = 0; s < 2; ++s)
          EXPECT_EQ(stored[((k * 3 + c) * 3 + r) * 2 + s], memory[((k * 3 + r) * 2 + s) * 3 + c]);
}

TEST(Checkpoint, ASnapshotComesBackBitForBit) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const TrainingSnapshot written = some_snapshot(layout);
  write_model(folder / "c", kUnet, {}, layout, arena_of(layout, 0), &written);
  const ModelFiles files = find_model(folder / "c", kFolders);
  ASSERT_EQ(files.state, folder / "c/ito_state.safetensors");
  const TrainingSnapshot read = read_snapshot(files.state, layout);
  EXPECT_EQ(read.state.step, written.state.step);
  EXPECT_EQ(read.state.applied, written.state.applied);
  EXPECT_EQ(read.state.skipped, written.state.skipped);
  EXPECT_EQ(read.state.skipped_in_row, written.state.skipped_in_row);
  EXPECT_EQ(read.state.most_skipped_in_row, written.state.most_skipped_in_row);
  EXPECT_EQ(read.kernels, written.kernels);
  EXPECT_EQ(read.state.beta1_power, written.state.beta1_power);
  EXPECT_EQ(read.state.beta2_power, written.state.beta2_power);
  EXPECT_EQ(read.state.loss_sum, written.state.loss_sum);
  EXPECT_EQ(read.state.loss_count, written.state.loss_count);
  EXPECT_EQ(read.seed, written.seed);
  EXPECT_TRUE(same_bits(read.weights.values, written.weights.values));
  EXPECT_TRUE(same_bits(read.first_moment.values, written.first_moment.values));
  EXPECT_TRUE(same_bits(read.second_moment.values, written.second_moment.values));
  EXPECT_FALSE(SafetensorsFile::open(files.state).has("first_moment.time_proj.weight")) << "a frozen tensor has none";
}

TEST(Checkpoint, EqualInputsGiveEqualFiles) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const TrainingSnapshot snapshot = some_snapshot(layout);
  for (const char* name : {"a", "b"})
    write_model(folder / name, kUnet, some_scheduler(), layout, arena_of(layout, 0), &snapshot);
  const auto a = contents(folder / "a");
  EXPECT_EQ(a.size(), 5u);
  EXPECT_TRUE(a == contents(folder / "b"));
}

TEST(Checkpoint, ReplacesWhatIsThereAndLeavesNoRemains) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  folder.write("c/old.txt", "of an older model");
  folder.write("c.partial/junk", "of a write that was interrupted");
  write_model(folder / "c", kUnet, {}, layout, arena_of(layout, 0), nullptr);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"c"});
  EXPECT_FALSE(fs::exists(folder / "c/old.txt"));
  EXPECT_FALSE(fs::exists(folder / "c/junk"));

  const std::string file = folder.write("file", "");
  const std::string message =
      message_of([&] { write_model(file + "/c", kUnet, {}, layout, arena_of(layout, 0), nullptr); });
  EXPECT_TRUE(message.starts_with(file + "/c: cannot be written: ")) << message;
  for (const std::string& name : folder.names()) EXPECT_FALSE(name.ends_with(".partial")) << name;
}

TEST(Checkpoint, AcceptsTheNamesAndShapesOf2022) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const std::vector<float> arena = arena_of(layout, 0);
  const std::pair<const char*, const char*> renamed[] = {
      {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
  const std::string path = write_edited(folder, layout, arena, [&](std::string& name, std::vector<int64_t>& shape) {
    for (const auto& [now, before] : renamed) {
      const size_t at = name.find(now);
      if (at == std::string::npos) continue;
      name.replace(at, std::strlen(now), before);
      if (shape.size() == 2) shape = {4, 4, 1, 1};
    }
  });
  const SafetensorsFile file = SafetensorsFile::open(path);
  ASSERT_TRUE(file.has("mid_block.attentions.0.proj_attn.weight"));
  ASSERT_EQ(file.entry("mid_block.attentions.0.query.weight").shape, (std::vector<int64_t>{4, 4, 1, 1}));
  EXPECT_TRUE(same_bits(read_weights(path, layout), arena));
}

TEST(Checkpoint, RefusesTensorsThatDoNotFit) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const std::vector<float> arena = arena_of(layout, 0);
  const auto message = [&](const auto& edit) {
    const std::string path = write_edited(folder, layout, arena, edit);
    const std::string text = message_of([&] { read_weights(path, layout); });
    EXPECT_TRUE(text.starts_with(path + ": ")) << text;
    return text.substr(std::min(text.size(), path.size() + 2));
  };
  const auto change = [](const char* which, const std::string& to, std::vector<int64_t> shape = {}) {
    return [which, to, shape](std::string& name, std::vector<int64_t>& old_shape) {
      if (name != which) return;
      name = to;
      if (!shape.empty()) old_shape = shape;
    };
  };
  EXPECT_EQ(message(change("conv_in.weight", "")),
            "tensor conv_in.weight is missing; expected shape [4, 3, 3, 2] by the model's configuration");
  EXPECT_EQ(message(change("mid_block.attentions.0.to_k.bias", "")),
            "tensor mid_block.attentions.0.to_k.bias is missing; expected shape [4] by the model's configuration");
  EXPECT_EQ(message(change("conv_in.weight", "conv_in.weight", {4, 3, 2, 3})),
            "tensor conv_in.weight has shape [4, 3, 2, 3]; the model's configuration asks for [4, 3, 3, 2]");
  EXPECT_EQ(message(change("mid_block.attentions.0.to_q.weight", "mid_block.attentions.0.query.weight", {2, 8})),
            "tensor mid_block.attentions.0.query.weight has shape [2, 8]; the model's configuration asks for [4, 4]");
}

TEST(Checkpoint, RefusesSurplusTensors) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const std::vector<float> arena = arena_of(layout, 0);
  // The last: both the old and the new name of one tensor, so that one of them would be ignored.
  for (const char* surplus : {"conv_out.weight", "", "mid_block.attentions.0.query.bias"}) {
    SafetensorsWriter writer;
    for (const Parameter& p : layout.all()) writer.add(p.name, p.shape, to_file_layout(p, arena.data()));
    writer.add(surplus, {1}, std::vector<float>{0});
    const std::string path = folder / "surplus.safetensors";
    writer.write(path);
    EXPECT_EQ(message_of([&] { read_weights(path, layout); }),
              path + ": tensor '" + surplus + "' is not part of the configured model; check config.json");
  }
}

// The state's file with one tensor left out, another beside them, or another in its place.
TEST(Checkpoint, RefusesAStateThatIsNotWhatIsWritten) {
  const TempFolder folder;
  const ParameterLayout layout = small_layout();
  const std::string whole = folder / "whole.safetensors", edited = folder / "edited.safetensors";
  write_snapshot(whole, layout, some_snapshot(layout));
  const SafetensorsFile file = SafetensorsFile::open(whole);
  using Edit = std::function<void(SafetensorsWriter&)>;
  const auto message = [&](const std::string& left_out, const Edit& add) {
    std::map<std::string, std::vector<uint8_t>> bytes;
    SafetensorsWriter writer;
    for (const std::string& name : file.names()) {
      if (name == left_out) continue;
      bytes[name] = file.read_raw(name);
      writer.add_raw(name, file.entry(name).type, file.entry(name).shape, bytes[name]);
    }
    add(writer);
    writer.write(edited);
    const std::string text = message_of([&] { read_snapshot(edited, layout); });
    EXPECT_TRUE(text.starts_with(edited + ": tensor ")) << text;
    return text.substr(std::min(text.size(), edited.size() + 9));
  };
  const Edit nothing = [](SafetensorsWriter&) {};
  for (const std::string name : {"state.most_skipped_in_row", "state.step", "kernels"})
    EXPECT_EQ(message(name, nothing), name + " is missing; expected a training state as this version of ito writes it");
  const auto surplus = [](const std::string& name) {
    return [name](SafetensorsWriter& writer) { writer.add_i64(name, {1}, {0}); };
  };
  EXPECT_EQ(message("", surplus("state.aplied")),
            "'state.aplied' is not part of a training state of this model; did you mean 'state.applied'?");
  EXPECT_EQ(message("", surplus("first_moment.conv_in.weights")),
            "'first_moment.conv_in.weights' is not part of a training state of this model; did you mean "
            "'first_moment.conv_in.weight'?");
  EXPECT_EQ(message("", surplus("zzzzzzzzzz")), "'zzzzzzzzzz' is not part of a training state of this model");
  EXPECT_EQ(message("state.step",
                    [](SafetensorsWriter& w) {
                      w.add_i64("state.step", {2}, {1, 2});
                    }),
            "'state.step': has shape [2], expected []");
  const auto kernels = [](std::vector<uint8_t> bytes) {
    return [bytes](SafetensorsWriter& w) {
      w.add_u8("kernels", {static_cast<int64_t>(bytes.size())}, std::vector(bytes));
    };
  };
  EXPECT_EQ(message("kernels", kernels({'a', '\n'})), "kernels holds what is no text; expected printable ASCII");
  EXPECT_EQ(message("kernels", kernels(std::vector<uint8_t>(1001, 'a'))),
            "kernels is U8 [1001]; expected a line of text, U8 of at most 1000");
  EXPECT_EQ(message("kernels", [](SafetensorsWriter& w) { w.add_i64("kernels", {1}, {65}); }),
            "kernels is I64 [1]; expected a line of text, U8 of at most 1000");
}

TEST(Checkpoint, FindsEveryLayout) {
  const TempFolder folder;
  folder.write("flat/config.json", "{}");
  folder.write(std::string("flat/") + kWeightsFile, "");
  folder.write("flat/scheduler_config.json", "{}");
  const ModelFiles flat = find_model(folder / "flat", kFolders);
  EXPECT_EQ(flat.config, folder / "flat/config.json");
  EXPECT_EQ(flat.weights, folder / (std::string("flat/") + kWeightsFile));
  EXPECT_EQ(flat.scheduler, folder / "flat/scheduler_config.json");

  // Component folders win over files of the same meaning beside them.
  folder.write("flat/unet/config.json", "{}");
  folder.write(std::string("flat/unet/") + kWeightsFile, "");
  folder.write("flat/scheduler/scheduler_config.json", "{}");
  const ModelFiles both = find_model(folder / "flat", kFolders);
  EXPECT_EQ(both.config, folder / "flat/unet/config.json");
  EXPECT_EQ(both.weights, folder / (std::string("flat/unet/") + kWeightsFile));
  EXPECT_EQ(both.scheduler, folder / "flat/scheduler/scheduler_config.json");

  folder.write("other/transformer/config.json", "{}");
  const ModelFiles other = find_model(folder / "other", kFolders);
  EXPECT_EQ(other.folder, "transformer");
  EXPECT_EQ(other.config, folder / "other/transformer/config.json");

  const ModelFiles component = find_model(folder / "flat/unet", kFolders);
  EXPECT_EQ(component.weights, folder / (std::string("flat/unet/") + kWeightsFile));
  EXPECT_EQ(component.scheduler, folder / "flat/scheduler/scheduler_config.json") << "of the pipeline around it";

  const ModelFiles bare = find_model(folder / "flat/config.json", kFolders);
  EXPECT_EQ(bare.config, folder / "flat/config.json");
  EXPECT_EQ(bare.weights, "");
  EXPECT_EQ(bare.scheduler, "");
  EXPECT_EQ(read_scheduler(bare), SchedulerConfig{});
}

TEST(Checkpoint, FollowsLatest) {
  const TempFolder folder;
  folder.write("checkpoint-000002/unet/config.json", "{}");
  folder.write("checkpoint-000010/unet/config.json", "{}");
  write_latest(folder.path(), checkpoint_name(10));
  EXPECT_EQ(read_bytes(folder / "latest"), "checkpoint-000010\n");
  EXPECT_EQ(find_model(folder.path(), kFolders).directory, folder / "checkpoint-000010");
  write_latest(folder.path(), "checkpoint-000002");
  EXPECT_EQ(find_model(folder.path(), kFolders).directory, folder / "checkpoint-000002");
  write_latest(folder.path(), "checkpoint-000003");
  EXPECT_EQ(message_of([&] { find_model(folder.path(), kFolders); }),
            folder.path() + ": its file `latest` names " + (folder / "checkpoint-000003") + ", which is not there");
  folder.write("latest", "../elsewhere\n");
  EXPECT_EQ(message_of([&] { find_model(folder.path(), kFolders); }),
            (folder / "latest") + ": names '../elsewhere', expected the name of a checkpoint folder beside it");
  folder.write("latest", "checkpoint-000003\x1b[2J");
  EXPECT_EQ(
      message_of([&] { find_model(folder.path(), kFolders); }),
      (folder / "latest") + ": names 'checkpoint-000003\\x1b[2J', expected the name of a checkpoint folder beside it");
  EXPECT_EQ(checkpoint_name(600), "checkpoint-000600");
  EXPECT_EQ(checkpoint_name(12345678), "checkpoint-12345678");
}

TEST(Checkpoint, RefusesWhatIsNoModel) {
  const TempFolder folder;
  EXPECT_EQ(message_of([&] { find_model(folder / "nothing", kFolders); }),
            (folder / "nothing") + ": no such file or folder; expected a run, a checkpoint or a model");
  EXPECT_EQ(message_of([&] { find_model(folder.path(), kFolders); }),
            folder.path() +
                ": found neither unet/config.json, transformer/config.json nor config.json; expected a diffusers model "
                "or a training run");
  folder.write("pickled/unet/config.json", "{}");
  const std::string pickle = folder.write("pickled/unet/diffusion_pytorch_model.bin", "");
  EXPECT_EQ(
      message_of([&] { find_model(folder / "pickled", kFolders); }),
      pickle + ": a pickled checkpoint can run code when it is read and is not supported; save it as " + kWeightsFile);
  folder.write(std::string("pickled/unet/") + kWeightsFile, "");  // beside one that we do read, it is passed over
  EXPECT_EQ(find_model(folder / "pickled", kFolders).weights, folder / (std::string("pickled/unet/") + kWeightsFile));
}

}  // namespace
}  // namespace ito
