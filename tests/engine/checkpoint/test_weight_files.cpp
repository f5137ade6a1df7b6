// SPDX-License-Identifier: Apache-2.0
// Weights in every form in which they are published: one file, shards with an index, a variant; and what is not read.
#include "engine/checkpoint/weight_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "engine/checkpoint/names.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/json_file.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/warnings_kept.h"

namespace ito {
namespace {

const std::string kIndex = std::string(kWeightsFile) + ".index.json";

ParameterLayout layout_of_three() {
  std::vector<Parameter> all(3);
  for (int i = 0; i < 3; ++i) {
    all[i].name = join_text("layer", i, ".bias");
    all[i].kind = ParameterKind::Vector;
    all[i].shape = {4 + i};
  }
  return ParameterLayout(all);
}

std::vector<float> numbers(const ParameterLayout& layout) {
  std::vector<float> arena(layout.arena_floats(), 0.0f);
  for (const Parameter& p : layout.all())
    for (int64_t i = 0; i < p.count(); ++i) arena[p.offset + i] = static_cast<float>(10 * p.shape[0] + i) / 8;
  return arena;
}

// The tensors of these indices into a file.
void write_part(const std::string& path, const std::vector<int>& which) {
  const ParameterLayout layout = layout_of_three();
  const std::vector<float> arena = numbers(layout);
  SafetensorsWriter writer;
  for (const int i : which) {
    const Parameter& p = layout.all()[i];
    writer.add(p.name, p.shape, to_file_layout(p, arena.data()));
  }
  writer.write(path);
}

std::string write_index(const TempFolder& folder, const Json& map) {
  return folder.write(kIndex, json_text({{"metadata", {{"total_size", 60}}}, {"weight_map", map}}));
}

constexpr const char* kFirst = "diffusion_pytorch_model-00001-of-00002.safetensors";
constexpr const char* kSecond = "diffusion_pytorch_model-00002-of-00002.safetensors";

TEST(WeightFiles, ShardsAreReadAsOne) {
  const TempFolder folder;
  write_part(folder / kFirst, {2, 0});
  write_part(folder / kSecond, {1});
  write_index(folder, {{"layer0.bias", kFirst}, {"layer1.bias", kSecond}, {"layer2.bias", kFirst}});
  EXPECT_EQ(find_weights(folder.path()), folder / kIndex);
  EXPECT_EQ(read_weights(folder / kIndex, layout_of_three()), numbers(layout_of_three()));
  EXPECT_EQ(WeightFiles::open(folder / kIndex).names(),
            (std::vector<std::string>{"layer0.bias", "layer1.bias", "layer2.bias"}));

  // A whole file goes before them.
  write_part(folder / kWeightsFile, {0, 1, 2});
  EXPECT_EQ(find_weights(folder.path()), folder / kWeightsFile);
}

TEST(WeightFiles, AnIndexThatDoesNotFitIsRefused) {
  const TempFolder folder;
  write_part(folder / kFirst, {0, 2});
  write_part(folder / kSecond, {1});
  const std::string index = folder / kIndex;
  const auto refused = [&](const Json& map) {
    write_index(folder, map);
    return message_of([&] { read_weights(index, layout_of_three()); });
  };
  EXPECT_EQ(refused({{"layer0.bias", kFirst}, {"layer1.bias", kFirst}, {"layer2.bias", kFirst}}),
            (folder / kFirst) + ": tensor 'layer1.bias' is not in it, though " + index + " says so");
  EXPECT_EQ(refused({{"layer0.bias", kFirst}, {"layer1.bias", kSecond}}),
            (folder / kFirst) + ": tensor 'layer2.bias' is in it, though not in " + index);
  EXPECT_EQ(refused({{"layer0.bias", "../away.safetensors"}}),
            index +
                ": weight_map: 'layer0.bias' is in \"../away.safetensors\"; expected the name of a file beside the "
                "index");
  EXPECT_EQ(refused({{"layer0.bias", 7}}),
            index + ": weight_map: 'layer0.bias' is in 7; expected the name of a file beside the index");
  EXPECT_EQ(refused({{"layer0.bias", "third.safetensors"}}),
            (folder / "third.safetensors") + ": cannot be read: No such file or directory");
  for (const Json& map : {Json::object(), Json::array(), Json(nullptr)})
    EXPECT_EQ(refused(map),
              index + ": has no weight_map of tensors and their files; expected the index of a model in shards");
  std::filesystem::remove(index);
  EXPECT_EQ(message_of([&] { find_weights(folder.path()); }), folder.path() + ": has shards of a model ('" + kFirst +
                                                                  "', '" + kSecond + "') but not " + kIndex +
                                                                  ", which says what is in them");
}

TEST(WeightFiles, TheOnlyVariantIsRead) {
  const TempFolder folder;
  const WarningsKept warnings;
  const std::string half = folder / "diffusion_pytorch_model.fp16.safetensors";
  write_part(half, {0, 1, 2});
  EXPECT_EQ(find_weights(folder.path()), half);
  EXPECT_EQ(WarningsKept::all(),
            std::vector<std::string>{half + ": is read, since there is no " + kWeightsFile + " beside it"});
  write_part(folder / "diffusion_pytorch_model.non_ema.safetensors", {0, 1, 2});
  EXPECT_EQ(message_of([&] { find_weights(folder.path()); }),
            folder.path() + ": has no " + kWeightsFile +
                ", but several variants of it ('diffusion_pytorch_model.fp16.safetensors', "
                "'diffusion_pytorch_model.non_ema.safetensors'); rename the one to use");
}

TEST(WeightFiles, ShardsOfAVariant) {
  const TempFolder folder;
  const WarningsKept warnings;
  const std::string shard = "diffusion_pytorch_model-00001-of-00001.bf16.safetensors";
  write_part(folder / shard, {0, 1, 2});
  const Json map{{"layer0.bias", shard}, {"layer1.bias", shard}, {"layer2.bias", shard}};
  const std::string index =
      folder.write(std::string(kWeightsFile) + ".index.bf16.json", json_text({{"weight_map", map}}));
  EXPECT_EQ(find_weights(folder.path()), index);
  EXPECT_EQ(read_weights(index, layout_of_three()), numbers(layout_of_three()));
}

TEST(WeightFiles, PicklesAreRefusedByName) {
  for (const char* name : {"diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin"}) {
    const TempFolder folder;
    EXPECT_EQ(find_weights(folder.path()), "");
    folder.write(name, "PK");
    EXPECT_EQ(message_of([&] { find_weights(folder.path()); }),
              (folder / name) +
                  ": a pickled checkpoint can run code when it is read and is not supported; save it as " +
                  kWeightsFile);
  }
}

// Codes of a quantised model are no weights.
TEST(WeightFiles, WholeNumbersAreNoWeights) {
  const TempFolder folder;
  const ParameterLayout layout = layout_of_three();
  for (const TensorType type : {TensorType::I8, TensorType::U8, TensorType::I64, TensorType::BOOL}) {
    SafetensorsWriter writer;
    const std::vector<uint8_t> zeros(6 * size_of(type), 0);
    for (const Parameter& p : layout.all())
      writer.add_raw(p.name, type, p.shape, {zeros.data(), static_cast<size_t>(p.count()) * size_of(type)});
    writer.write(folder / kWeightsFile);
    EXPECT_EQ(
        message_of([&] { read_weights(folder / kWeightsFile, layout); }),
        (folder / kWeightsFile) + ": tensor 'layer0.bias': is " + name_of(type) + "; expected F32, F16, BF16 or F64");
  }
}

}  // namespace
}  // namespace ito
