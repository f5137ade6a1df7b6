// SPDX-License-Identifier: Apache-2.0
// The command as a whole: help, exit codes, one-line errors, and the sub-commands that only look (inspect, eval).
#include "models/model.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

const Words kSubcommands{"train", "sample", "predict",    "inspect", "convert",
                         "ema",   "eval",   "likelihood", "bench",   "profile"};

TEST(Command, HelpShowsEverySubcommandAndDefaults) {
  const ChildResult help = run_ito({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.err, "");
  for (const std::string& name : kSubcommands) {
    EXPECT_NE(help.out.find("\n  " + name), std::string::npos) << name;
    const ChildResult own = run_ito({name, "--help"});
    EXPECT_EQ(own.exit_code, 0) << name;
    EXPECT_EQ(own.err, "") << name;
    EXPECT_NE(own.out.find("--"), std::string::npos) << name;
  }
  const std::string train = run_ito({"train", "--help"}).out;
  EXPECT_NE(train.find("=10000 "), std::string::npos) << "--steps without its default:\n" << train;
  EXPECT_NE(train.find("=cosine "), std::string::npos) << "--lr-schedule without its default:\n" << train;
}

TEST(Command, NamesWhatWasMeant) {
  const std::pair<Words, const char*> cases[] = {
      {{"trian"}, "did you mean 'train'?"},
      {{"draw"}, "'draw'; expected one of train, sample, predict, inspect"},
      {{"smaple"}, "did you mean 'sample'?"},
      {{"train", "--data", "x", "--out", "y", "--stepz", "3"}, "did you mean '--steps'?"},
      {{"train", "--data", "x", "--out", "y", "--learning-rate-schedule=linear"}, "--learning-rate-schedule"},
      {{"train", "--steps", "1", "--steps", "2"}, "--steps: given 2 times"},
      {{"sample", "--checkpoint", "x", "--out", "y", "--sampeler", "ddim"}, "did you mean '--sampler'?"},
      {{"inspect", "x", "--jsn"}, "did you mean '--json'?"},
      {{}, "no sub-command given; expected one of train, sample"},
      {{"sample", "--out", "y"}, "--checkpoint is missing"},
      {{"--device", "tpu", "train"}, "--device tpu: expected auto, cuda or cpu"}};
  for (const auto& [words, mark] : cases) {
    const std::string message = refusal(words);
    EXPECT_NE(message.find(mark), std::string::npos) << message;
  }
}

TEST(Command, RefusesModelsThatAreNotThere) {
  const TempFolder folder;
  folder.write("noise.safetensors", "");
  const std::string missing = folder / "missing";
  for (const Words& words :
       {Words{"sample", "--checkpoint", missing, "--out", folder / "out"}, Words{"inspect", missing}}) {
    const std::string message = refusal(words);
    EXPECT_EQ(message, "ito: " + missing + ": no such file or folder; expected a run, a checkpoint or a model\n");
  }
  EXPECT_NE(refusal({"predict", "--checkpoint", missing, "--input", missing, "--output", folder / "out"}).find(missing),
            std::string::npos);
  // A bare configuration can be inspected, but not sampled from.
  const std::string config = folder.write("config.json", json_text(tiny_model()));
  EXPECT_EQ(run_ito({"inspect", config}).exit_code, 0);
  EXPECT_NE(refusal({"sample", "--checkpoint", config, "--out", folder / "out"}).find("found no weights"),
            std::string::npos);
}

TEST(Command, InspectCountsThePublishedModel) {
  const TempFolder folder;
  const std::string config = folder.write("config.json", json_text(named_model("ddpm-cifar10").configured.config));
  const ChildResult result = run_ito({"inspect", config, "--json", "--batch", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const Json found = parse_json(result.out, "inspect --json");
  EXPECT_EQ(found.at("tensors"), 328);
  EXPECT_EQ(found.at("parameters"), 35746307);
  EXPECT_EQ(found.at("height"), 32);
  EXPECT_EQ(found.at("batch"), 2);
  EXPECT_EQ(found.at("architecture"), named_model("ddpm-cifar10").configured.config);
  EXPECT_TRUE(found.at("training_state").is_null());
  for (const char* mode : {"training", "inference"}) {
    const Json& plan = found.at("memory").at(mode);
    EXPECT_GE(plan.at("arena_bytes"), plan.at("lower_bound_bytes")) << mode;
    EXPECT_GT(plan.at("lower_bound_bytes").get<int64_t>(), 1 << 20) << mode;
  }
}

TEST(Command, InspectShowsACheckpoint) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "2"}).exit_code, 0);
  const ChildResult result = run_ito({"inspect", tiny / "run", "--json", "--tensors", "--ops"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json found = parse_json(result.out, "inspect --json");
  EXPECT_EQ(found.at("training_state").at("state.step"), 2);
  EXPECT_EQ(found.at("training_state").at("seed"), 5);
  EXPECT_EQ(found.at("scheduler").at("_class_name"), "DDPMScheduler");
  EXPECT_EQ(found.at("tensor_shapes").size(), found.at("tensors"));
  EXPECT_EQ(found.at("tensor_shapes").at("conv_in.weight"), Json({8, 1, 3, 3}));
  EXPECT_FALSE(found.at("ops").empty());
  const std::string kernels = found.at("training_state").at("kernels");
  EXPECT_TRUE(kernels.starts_with("cpu, oneDNN ")) << kernels;
  EXPECT_NE(kernels.find(", plans "), std::string::npos) << kernels;
  const ChildResult text = run_ito({"inspect", tiny / "run", "--plan", "--max-memory", "2"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_NE(text.out.find(" MiB; largest batch in one pass within 2 MiB: "), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("block_out_channels"), std::string::npos);
  EXPECT_NE(text.out.find("\"kernels\":\"" + kernels + "\""), std::string::npos) << text.out;
}

TEST(Command, InspectFindsTheLargestBatch) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "1"}).exit_code, 0);
  const auto plan = [&](int batch) {
    const ChildResult result =
        run_ito({"inspect", tiny / "run", "--json", "--plan", "--max-memory", "3", "--batch", std::to_string(batch)});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "inspect --json").at("plan");
  };
  const Json plan_of_one = plan(1);
  for (const char* mode : {"training", "inference"}) {
    const int largest = plan_of_one.at(mode).at("largest_batch");
    EXPECT_GT(largest, 1) << mode;
    EXPECT_LE(plan(largest).at(mode).at("peak_bytes"), 3 << 20) << mode;
    EXPECT_GT(plan(largest + 1).at(mode).at("peak_bytes"), 3 << 20) << mode;
  }
  const ChildResult refused = run_ito({"inspect", tiny / "run", "--max-memory", "3"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("--max-memory: is for --plan"), std::string::npos) << refused.err;
}

// A state whose numbers are not single ones is refused by its shape, not read past.
TEST(Command, InspectLooksAtTheShapesOfTheState) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "1"}).exit_code, 0);
  const std::string state = tiny / "run/checkpoint-000001/ito_state.safetensors";
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{0}, {2}, {1, 1}}) {
    SafetensorsWriter writer;
    writer.add_i64("state.step", shape, std::vector<int64_t>(shape == std::vector<int64_t>{1, 1} ? 1 : shape[0], 7));
    writer.write(state);
    const std::string text = refusal({"inspect", tiny / "run"});
    EXPECT_TRUE(text.starts_with("ito: " + state + ": tensor 'state.step': has shape [")) << text;
    EXPECT_TRUE(text.ends_with(", expected []\n")) << text;
  }
}

TEST(Command, DeviceMayFollowTheSubcommand) {
  const TempFolder folder;
  const std::string config = folder.write("config.json", json_text(tiny_model()));
  for (const Words& words : {Words{"inspect", config, "--device", "cpu"}, Words{"inspect", "--device=cpu", config},
                             Words{"--device", "cpu", "inspect", config}}) {
    const ChildResult result = run_ito(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("UNet2DModel"), std::string::npos);
  }
  EXPECT_EQ(refusal({"inspect", config, "--device", "tpu"}), "ito: --device tpu: expected auto, cuda or cpu\n");
}

TEST(Command, EvalOfTheDataItself) {
  const TinyRun tiny;
  std::vector<float> samples;
  for (int label = 0; label < kTinyClasses; ++label)
    for (int number = 0; number < kTinyPerClass; ++number)
      for (uint8_t v : tiny_image(label, number).pixels) samples.push_back(static_cast<float>(v) / 127.5f - 1.0f);
  SafetensorsWriter writer;
  writer.add("samples", {kTinyClasses * kTinyPerClass, 1, kTinySize, kTinySize}, std::move(samples));
  writer.write(tiny / "samples.safetensors");
  const ChildResult result = run_ito(
      {"eval", "--samples", tiny / "samples.safetensors", "--data", tiny.images, "--projections", "20", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out, "eval --json");
  EXPECT_EQ(report.at("samples"), kTinyClasses * kTinyPerClass);
  EXPECT_EQ(report.at("classes_found"), kTinyClasses);
  for (int label = 0; label < kTinyClasses; ++label)
    EXPECT_EQ(report.at("classes").at(join_text("class", label)), kTinyPerClass);
  EXPECT_NEAR(report.at("sliced_wasserstein").get<double>(), 0, 1e-6);
}

}  // namespace
}  // namespace ito
