// SPDX-License-Identifier: Apache-2.0
// `ito convert` from outside: every layout, naming and element type that is read comes out as one kind of directory.
#include <cstring>
#include <list>

#include "engine/checkpoint/names.h"
#include "models/unet/unet.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

const char* const kWeightsName = "diffusion_pytorch_model.safetensors";

ParameterLayout tiny_layout() {
  return parameters_of(unet_network(unet_config_from_json(tiny_model(), "tiny", nullptr), kTinySize, kTinySize));
}

// A file with every tensor in one of four element types in turn, under the attention's names of 2022, its weights as
// 1x1 convolutions. Values are random bits of the type, so that what they mean in fp32 is known exactly.
struct OldWeights {
  std::map<std::string, std::vector<float>> values;  // by current names
  int types[4] = {}, renamed = 0;

  void write(const std::string& path) {
    std::list<std::vector<uint8_t>> stored_bytes;  // the writer refers to them
    SafetensorsWriter writer;
    uint32_t state = 1;
    const auto next_bits = [&] { return (state = state * 1664525u + 1013904223u) >> 8; };
    int index = 0;
    const ParameterLayout layout = tiny_layout();
    for (const Parameter& p : layout.all()) {
      const int type = index++ % 4;
      ++types[type];
      std::vector<float>& expected = values[p.name];
      std::vector<uint8_t>& bytes = stored_bytes.emplace_back();
      const auto append = [&](auto stored) {
        const auto* raw = reinterpret_cast<const uint8_t*>(&stored);
        bytes.insert(bytes.end(), raw, raw + sizeof(stored));
      };
      for (int64_t i = 0; i < p.count(); ++i) {
        const uint32_t bits = next_bits();
        const auto half = static_cast<uint16_t>((bits & 0x83FF) | 0x2C00);   // |v| in 1/16 .. 1/8
        const auto brain = static_cast<uint16_t>((bits & 0x807F) | 0x3D80);  // the same
        const float single = static_cast<float>(bits) * 0x1p-24f - 0.5f;
        expected.push_back(type == 0 ? float_from_f16(half) : type == 1 ? float_from_bf16(brain) : single);
        if (type == 0) append(half);
        if (type == 1) append(brain);
        if (type == 2) append(static_cast<double>(single) * (1 + 0x1p-30));  // rounds to `single`
        if (type == 3) append(single);
      }
      std::string name = p.name;
      std::vector<int64_t> shape = p.shape;
      for (const auto& [now, before] : {std::pair{".to_q.", ".query."}, std::pair{".to_k.", ".key."},
                                        std::pair{".to_v.", ".value."}, std::pair{".to_out.0.", ".proj_attn."}})
        if (const size_t at = name.find(now); at != std::string::npos) {
          name.replace(at, std::strlen(now), before);
          ++renamed;
          if (shape.size() == 2) shape.insert(shape.end(), {1, 1});
        }
      constexpr TensorType kTypes[] = {TensorType::F16, TensorType::BF16, TensorType::F64, TensorType::F32};
      writer.add_raw(name, kTypes[type], shape, bytes);
    }
    writer.write(path);
  }
};

ChildResult convert(const std::string& from, const std::string& out) {
  return run_ito({"convert", "--from", from, "--out", out});
}

std::vector<std::string> sorted_names_below(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files_below(folder)) names.push_back(name);
  return names;
}

const std::vector<std::string> kModelFiles{"model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
                                           std::string("unet/") + kWeightsName};

TEST(ConvertCommand, OldFlatModel) {
  const TempFolder folder;
  Json config = tiny_model();
  config.erase("attention_head_dim");  // absent: 8
  folder.write("old/config.json", json_text(config));
  folder.write("old/scheduler_config.json", R"({"_class_name": "DDPMScheduler", "variance_type": "fixed_large"})");
  OldWeights old;
  old.write(folder / (std::string("old/") + kWeightsName));
  for (int count : old.types) EXPECT_GT(count, 4);
  EXPECT_EQ(old.renamed, 4 * 2 * 4);  // weight and bias of four layers in 1 + 1 + 2 attentions

  const ChildResult result = convert(folder / "old", folder / "new/model/");  // makes the folders above it
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string made = folder / "new/model";
  EXPECT_EQ(sorted_names_below(made), kModelFiles);
  EXPECT_EQ(sorted_names_below(folder / "new").size(), kModelFiles.size());  // nothing temporary is left

  const SafetensorsFile weights = SafetensorsFile::open(made + "/unet/" + kWeightsName);
  const ParameterLayout layout = tiny_layout();
  ASSERT_EQ(weights.names().size(), layout.all().size());
  for (const Parameter& p : layout.all()) {
    ASSERT_TRUE(weights.has(p.name)) << p.name;
    EXPECT_EQ(weights.entry(p.name).type, TensorType::F32) << p.name;
    EXPECT_EQ(weights.entry(p.name).shape, p.shape) << p.name;
    EXPECT_EQ(weights.read_f32(p.name), old.values.at(p.name)) << p.name;
  }
  const std::string unet = made + "/unet/config.json", scheduler = made + "/scheduler/scheduler_config.json";
  const Json written = read_json_file(unet), schedule = read_json_file(scheduler);
  const Json asked = tiny_model();
  for (const auto& [key, value] : asked.items()) EXPECT_EQ(written.at(key), value) << key;
  EXPECT_EQ(written.at("norm_eps"), 1e-5);  // a default, spelled out
  EXPECT_EQ(schedule.at("variance_type"), "fixed_large");
  EXPECT_EQ(schedule.at("beta_end"), 0.02);

  // Once current, a model stays as it is.
  ASSERT_EQ(convert(made, folder / "again").exit_code, 0);
  expect_same_files(made, folder / "again");
}

TEST(ConvertCommand, TrainingRunAndBareUnet) {
  const TinyRun tiny;
  const ChildResult trained = run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "2"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  ASSERT_EQ(convert(tiny / "run", tiny / "model").exit_code, 0);
  std::vector<std::string> files = kModelFiles;
  // The data's folders had names, and training measures by timestep.
  files.insert(files.begin(), {"class_names.json", "level_statistics.json"});
  EXPECT_EQ(sorted_names_below(tiny / "model"), files);
  const auto checkpoint = files_below(tiny / "run/checkpoint-000002"), model = files_below(tiny / "model");
  EXPECT_EQ(checkpoint.size(), files.size() + 1);  // the training state besides
  for (const std::string& name : files) EXPECT_TRUE(checkpoint.at(name) == model.at(name)) << name;

  fs::create_directories(tiny / "alone");
  fs::create_directories(tiny / "bare");  // an empty folder is as good as none
  ASSERT_EQ(convert(tiny / "run/checkpoint-000002/unet", tiny / "bare").exit_code, 0);
  EXPECT_TRUE(files_below(tiny / "bare") == model) << "with what is around it in the checkpoint";

  fs::copy(tiny / "run/checkpoint-000002/unet", tiny / "alone/unet_ema", fs::copy_options::recursive);
  const ChildResult bare = convert(tiny / "alone/unet_ema", tiny / "from-alone");
  ASSERT_EQ(bare.exit_code, 0) << bare.err;
  EXPECT_NE(bare.err.find("has no scheduler_config.json; taking DDPMScheduler's defaults"), std::string::npos)
      << bare.err;
  EXPECT_EQ(sorted_names_below(tiny / "from-alone"), kModelFiles);
  EXPECT_TRUE(files_below(tiny / "from-alone").at(kModelFiles[3]) == model.at(kModelFiles[3]));
}

TEST(ConvertCommand, Refuses) {
  const TempFolder folder;
  folder.write("bare/config.json", json_text(tiny_model()));
  folder.write("bare/scheduler_config.json", R"({"num_train_timesteps": 1000})");
  OldWeights old;
  old.write(folder / (std::string("bare/") + kWeightsName));
  folder.write("full/mine.txt", "keep");
  EXPECT_NE(refusal({"convert", "--from", folder / "bare", "--out", folder / "full"}).find("not an empty folder"),
            std::string::npos);
  EXPECT_NE(
      refusal({"convert", "--from", folder / "bare", "--out", folder / "full/mine.txt"}).find("not an empty folder"),
      std::string::npos);
  EXPECT_NE(refusal({"convert", "--from", folder / "bare", "--out", folder / "bare"}).find("not an empty folder"),
            std::string::npos);
  EXPECT_EQ(read_bytes(folder / "full/mine.txt"), "keep");

  const std::string config = folder.write("only/config.json", json_text(tiny_model()));
  EXPECT_NE(refusal({"convert", "--from", config, "--out", folder / "a"}).find("found no weights"), std::string::npos);
  EXPECT_NE(refusal({"convert", "--from", folder / "none", "--out", folder / "a"}).find("no such file or folder"),
            std::string::npos);
  // A model of another shape is refused by the tensor's name, and nothing is left behind.
  Json wider = tiny_model();
  wider["block_out_channels"] = {8, 24};
  folder.write("bare/config.json", json_text(wider));
  EXPECT_NE(refusal({"convert", "--from", folder / "bare", "--out", folder / "a"}).find("has shape"),
            std::string::npos);
  EXPECT_EQ(folder.names().size(), 3u);  // bare, full, only

  // The name it writes under first may be someone's.
  folder.write("bare/config.json", json_text(tiny_model()));
  folder.write("b.partial/mine.txt", "keep");
  EXPECT_EQ(refusal({"convert", "--from", folder / "bare", "--out", folder / "b/"}),
            "ito: " + (folder / "b.partial") + ": is in the way of writing; move it, or choose another --out\n");
  EXPECT_EQ(read_bytes(folder / "b.partial/mine.txt"), "keep");
  EXPECT_FALSE(fs::exists(folder / "b"));
  fs::remove_all(folder / "b.partial");
  EXPECT_EQ(convert(folder / "bare", folder / "b/").exit_code, 0);
}

// Averages beside the first are weights of their own, and what `ito ema` makes of the snapshots is the average that
// training kept, where the width is a kept one: coefficients are 1 and 0 to 1e-9, and the weights of size 1.
TEST(Averages, AreSampledByNameAndMadeAfterwards) {
  const TinyRun tiny;
  const std::string run = tiny / "run", last = run + "/checkpoint-000008/unet/";
  const ChildResult trained =
      run_ito(tiny.train + Words{"--out", run, "--steps", "8", "--checkpoint-every", "4", "--keep-last", "0", "--ema",
                                 "0.9,sigma-rel-0.100,sigma-rel-0.05", "--ema-snapshots", "2"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(read_json_file(run + "/config.json").at("ema"), "0.9,sigma-rel-0.1,sigma-rel-0.05");

  const auto weights_of = [](const std::string& path) {
    const SafetensorsFile file = SafetensorsFile::open(path);
    std::map<std::string, std::vector<float>> all;
    for (const std::string& name : file.names()) all[name] = file.read_f32(name);
    return all;
  };
  const auto expect_near = [&](const std::string& a, const std::string& b, double tolerance) {
    const auto want = weights_of(a), got = weights_of(b);
    ASSERT_EQ(want.size(), got.size());
    double largest = 0;
    for (const auto& [name, values] : want)
      for (size_t i = 0; i < values.size(); ++i)
        largest = std::max(largest, std::fabs(double{values[i]} - double{got.at(name)[i]}));
    EXPECT_LE(largest, tolerance) << a << " and " << b;
  };
  for (const char* name : {"0.1", "0.05"}) {
    const std::string out = tiny / (std::string("made-") + name);
    const ChildResult made = run_ito({"ema", run, "--sigma-rel", name, "--out", out});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    expect_near(last + average_file(std::string("sigma-rel-") + name), out + "/unet/" + kWeightsName, 1e-6);
    const Json told = read_json_file(out + "/ema.json");
    EXPECT_EQ(told.at("snapshots").size(), 8u);
    EXPECT_EQ(told.at("updates"), 8);
  }
  // Of an earlier step, in the place that has its name; and another width, which is neither of the kept ones.
  ASSERT_EQ(run_ito({"ema", run, "--sigma-rel", "0.1", "--at", "4"}).exit_code, 0);
  expect_near(run + "/checkpoint-000004/unet/" + average_file("sigma-rel-0.1"),
              run + "/sigma-rel-0.1-at-000004/unet/" + kWeightsName, 1e-6);
  ASSERT_EQ(run_ito({"ema", run, "--sigma-rel", "0.07"}).exit_code, 0);
  EXPECT_NE(read_bytes(run + "/sigma-rel-0.07-at-000008/unet/" + kWeightsName), read_bytes(last + kWeightsName));

  // By name from the run, and by path once converted.
  const Words draw{"--count", "2", "--sampler", "ddim", "--steps", "2", "--raw", "--out"};
  const auto sample = [&](const std::string& out, const Words& from) {
    const ChildResult drawn = run_ito(Words{"sample"} + from + draw + Words{tiny / out});
    EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
    return read_bytes(tiny / (out + "/samples.safetensors"));
  };
  ASSERT_EQ(run_ito({"convert", "--from", run, "--ema", "sigma-rel-0.1", "--out", tiny / "copy"}).exit_code, 0);
  EXPECT_EQ(read_bytes(tiny / ("copy/unet/" + std::string(kWeightsName))),
            read_bytes(last + average_file("sigma-rel-0.1")));
  const std::string named = sample("a", {"--checkpoint", run, "--ema", "sigma-rel-0.1"});
  EXPECT_TRUE(named == sample("b", {"--checkpoint", tiny / "copy"}));
  EXPECT_FALSE(named == sample("c", {"--checkpoint", run}));

  const auto refused = [](const Words& words, const std::string& mark) {
    const std::string message = refusal(words);
    EXPECT_NE(message.find(mark), std::string::npos) << message;
  };
  refused({"convert", "--from", run, "--ema", "0.9", "--out", tiny / "no"},
          "unet: has no average '0.9' beside the model's weights; use one of 'sigma-rel-0.05', 'sigma-rel-0.1'\n");
  refused({"ema", run, "--sigma-rel", "0.3"}, "--sigma-rel 0.3: expected 0.001 to 0.28");
  refused({"ema", run, "--sigma-rel", "0.1", "--at", "5"},
          "--at 5: " + run + " has no snapshot of this step; it has 2, 4, 6, 8\n");
  refused({"ema", run, "--sigma-rel", "0.07"}, "already exists and is not an empty folder");
  refused({"ema", tiny / "copy", "--sigma-rel", "0.07"}, "has no snapshots of averages; train with");
  fs::create_directories(run + "/ema-000009");
  SafetensorsWriter other;
  other.add("x", {1}, std::vector<float>{0});
  other.write(run + "/ema-000009/x.safetensors");
  refused({"ema", run, "--sigma-rel", "0.08"}, "ema-000009/x.safetensors: its metadata have updates '', expected a");
}

}  // namespace
}  // namespace ito
