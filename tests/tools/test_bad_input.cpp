// SPDX-License-Identifier: Apache-2.0
// Bad model files: damaged containers, JSON of the wrong shape, settings that are not implemented, tensors that do not
// fit, and what is no model at all.
#include <cmath>

#include "tests/tools/bad_input.h"

namespace ito {
namespace {

TEST_F(BadInput, Safetensors) {
  const std::string model = make_model("model");
  const std::string f32 = R"("dtype":"F32","shape":[2],"data_offsets":)";
  const auto row = [&](const std::string& name, const std::string& file, const std::string& message) {
    return Row{name, predict(model, file), file + message};
  };
  const std::string whole = R"({"a":{)" + f32 + "[0,8]}}";
  std::string deep = R"({"a":)";
  for (int i = 0; i < 10000; ++i) deep += "[";
  check({
      row("empty", write("empty.safetensors", ""),
          ": is 0 bytes long, too short for a safetensors file (8 bytes of header length come first)"),
      row("not a safetensors", write("text.safetensors", "this is no tensor at all"),
          ": its header claims # bytes, but only 16 follow; it is cut short or not a safetensors file"),
      row("lying header length", make_container("lying.safetensors", whole, 8, 1000),
          ": its header claims # bytes, but only # follow; it is cut short or not a safetensors file"),
      row("header cut off", write("cut-header.safetensors", bytes_of_length(1000) + "{\"a\""),
          ": its header claims 1000 bytes, but only 4 follow; it is cut short or not a safetensors file"),
      row("truncated", make_container("truncated.safetensors", whole, 5),
          ": tensor 'a': ends at byte 8 of the data, but the file holds 5; it is cut short or damaged"),
      row("oversized", make_container("oversized.safetensors", whole, 9),
          ": the tensors end at byte 8 of the data, but the file has 9 bytes of it"),
      row("overlapping",
          make_container("overlap.safetensors", "{\"a\":{" + f32 + "[0,8]},\"b\":{" + f32 + "[4,12]}}", 12),
          ": tensor 'b': starts at byte 4 of the data, inside the tensor before it (which ends at 8)"),
      row("gap", make_container("gap.safetensors", "{\"a\":{" + f32 + "[4,12]}}", 12),
          ": tensor 'a': starts at byte 4 of the data, but bytes from 0 on belong to no tensor"),
      row("offsets beyond the file", make_container("beyond.safetensors", "{\"a\":{" + f32 + "[800,808]}}", 8),
          ": tensor 'a': ends at byte 808 of the data, but the file holds 8; it is cut short or damaged"),
      row("offsets backwards", make_container("backwards.safetensors", "{\"a\":{" + f32 + "[8,0]}}", 8),
          ": tensor 'a': data_offsets [8, 0] run backwards"),
      row("size against shape", make_container("size.safetensors", "{\"a\":{" + f32 + "[0,4]}}", 4),
          ": tensor 'a': 4 bytes stored, but F32 [2] needs 8"),
      row("unknown dtype",
          make_container("dtype.safetensors", R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,8]}})", 8),
          ": tensor 'a': unknown dtype 'F4'"),
      row("duplicate tensor",
          make_container("twice.safetensors", "{\"a\":{" + f32 + "[0,8]},\"a\":{" + f32 + "[8,16]}}", 16),
          ": header: the key 'a' occurs twice in one object"),
      row("deeply nested header", make_container("deep.safetensors", deep, 0),
          ": header: nested more than 8 levels deep"),
      row("header is a list", make_container("list.safetensors", "[1,2]", 0), ": header: must be a JSON object"),
      row("shape too large",
          make_container("huge.safetensors",
                         R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8),
          ": tensor 'a': its shape is too large to be real"),
      row("a directory", path("images"), ": is a directory where a file is expected"),
      row("no such file", path("none.safetensors"), ": cannot be read: No such file or directory"),
  });
}

TEST_F(BadInput, NetworkConfigurations) {
  const auto row = [&](const std::string& name, const std::string& text, const std::string& message) {
    const std::string file = write("unet-" + name + "/config.json", text);
    return Row{name, {"inspect", path("unet-" + name)}, file + ": " + message};
  };
  const auto with = [&](const std::string& key, const Json& value, const std::string& message) {
    Json config = tiny_model();
    config[key] = value;
    return row(key + "-" + std::to_string(std::hash<std::string>()(value.dump()) % 10000), config.dump(), message);
  };
  check({
      row("array", "[1, 2]", "found array, expected a JSON object of settings"),
      row("number", "7", "found number, expected a JSON object of settings"),
      row("broken", "{\"in_channels\": 1,", "not valid JSON: parse error at line 1, column 19: *"),
      row("empty", "", "not valid JSON: parse error at line 1, column 1: *"),
      row("twice", R"({"in_channels": 1, "in_channels": 3})", "the key 'in_channels' occurs twice in one object"),
      with("in_channels", "one", "in_channels is \"one\"; expected a whole number of reasonable size"),
      with("in_channels", 1.5, "in_channels is 1.5; expected a whole number of reasonable size"),
      with("in_channels", 0, "in_channels is 0; expected 1 to 4096"),
      with("block_out_channels", 32, "block_out_channels is 32; expected a list"),
      with("block_out_channels", {8.5, 16}, "block_out_channels is 8.5; expected a whole number of reasonable size"),
      with("block_out_channels", {8},
           "2 down_block_types and 2 up_block_types for 1 block_out_channels; give as many of "
           "each"),
      with("block_out_channels", {8, 18},
           "block_out_channels holds 18, which does not divide into norm_num_groups 4; "
           "change one of them"),
      with("attn_norm_num_groups", 5,
           "block_out_channels ends in 16, which does not divide into attn_norm_num_groups 5; "
           "change one of them"),
      with("sample_size", "8x8", "sample_size is \"8x8\"; expected a whole number of reasonable size"),
      with("sample_size", {8, 8, 8}, "sample_size is [8,8,8]; expected a size or [height, width]"),
      with("sample_size", 100000, "sample_size is 100000; expected 1 to 16384"),
      with("center_input_sample", "yes", "center_input_sample is \"yes\"; expected true or false"),
      with("norm_eps", true, "norm_eps is true; expected a number"),
      with("dropout", 1, "dropout is 1; expected a value in [0, 1)"),
      with("act_fn", "mish", "act_fn is 'mish', which is not implemented; use silu, swish"),
      with("act_fn", 3, "act_fn is 3; expected text"),
      with("down_block_types", {"DownBlock2D", "CrossAttnDownBlock2D"},
           "down_block_types is 'CrossAttnDownBlock2D', which is not implemented; use DownBlock2D, AttnDownBlock2D, "
           "ResnetDownsampleBlock2D, SkipDownBlock2D, AttnSkipDownBlock2D"),
      with("up_block_types", {"UpBlock2D", "KUpBlock2D"},
           "up_block_types is 'KUpBlock2D', which is not implemented; use UpBlock2D, AttnUpBlock2D, "
           "ResnetUpsampleBlock2D, SkipUpBlock2D, AttnSkipUpBlock2D"),
      with("norm_num_groups", nullptr,
           "norm_num_groups is null, which skip blocks alone take; DownBlock2D needs a number"),
      with("down_block_types", {"SkipDownBlock2D", "DownBlock2D"},
           "in_channels is 1; skip blocks take images of 3 channels"),
      with("up_block_types", {"SkipUpBlock2D", "SkipUpBlock2D"},
           "out_channels is 1; skip blocks make images of 3 channels"),
      with("down_block_types", {"DownBlock2D", "AttnSkipDownBlock2D"},
           "block_out_channels holds 16, which does not divide into the groups of AttnSkipDownBlock2D; use a multiple "
           "of "
           "32"),
      with("up_block_types", {"SkipUpBlock2D", "UpBlock2D"},
           "up_block_types has UpBlock2D above a skip block, and does not double the image beside it; put skip blocks "
           "last"),
      with("mid_block_type", "UNetMidBlock2DCrossAttn",
           "mid_block_type is 'UNetMidBlock2DCrossAttn', which is not implemented; use UNetMidBlock2D"),
      with("resnet_time_scale_shift", "ada_group",
           "resnet_time_scale_shift is 'ada_group', which is not implemented; use default, scale_shift"),
      with("class_embed_type", "projection",
           "class_embed_type is 'projection', which is not implemented; use timestep, identity"),
      with("time_embedding_type", "learned", "time_embedding_type learned needs num_train_timesteps"),
      with("num_class_embeds", 1 << 25, "num_class_embeds is 33554432; expected 1 to 16777216"),
      with("freq_shift", 4, "freq_shift 4 leaves no frequencies for block_out_channels[0] = 8"),
  });
}

TEST_F(BadInput, SchedulerConfigurations) {
  int number = 0;
  const auto row = [&](const Json& changes, const std::string& message, const Words& more = {}) {
    const std::string model = make_model("scheduler" + std::to_string(number++), Json::object(), changes);
    return Row{changes.dump(), sample(model, more), model + "/scheduler/scheduler_config.json: " + message};
  };
  std::vector<Row> rows{
      row({{"num_train_timesteps", "1000"}},
          "num_train_timesteps is \"1000\"; expected a whole number of reasonable size"),
      row({{"num_train_timesteps", 0}}, "num_train_timesteps is 0; expected 1 to 1048576"),
      row({{"beta_start", -0.1}}, "beta_start is -0.1; expected a number between 0 and 1"),
      row({{"beta_end", "big"}}, "beta_end is \"big\"; expected a number"),
      row({{"beta_schedule", "cosine"}},
          "beta_schedule 'cosine' is not implemented; use one of linear, scaled_linear, squaredcos_cap_v2, sigmoid"),
      row({{"variance_type", "learned"}},
          "variance_type 'learned' is not implemented; use one of fixed_small, fixed_small_log, fixed_large, "
          "fixed_large_log, learned_range"),
      row({{"prediction_type", "noise"}},
          "prediction_type 'noise' is not implemented; use one of epsilon, sample, v_prediction, score, "
          "flow_prediction*"),
      row({{"prediction_type", 1}}, "prediction_type is 1; expected a name"),
      row({{"clip_sample", 1}}, "clip_sample is 1; expected true or false"),
      row({{"trained_betas", {0.1, 0.2}}}, "trained_betas holds 2 numbers; expected num_train_timesteps, 1000"),
      row({{"_class_name", "IPNDMScheduler"}},
          "_class_name 'IPNDMScheduler' is not implemented; use one of DDPMScheduler, DDIMScheduler, "
          "DDIMInverseScheduler, EulerDiscreteScheduler, *"),
      row({{"steps_offset", 1000}}, "steps_offset is 1000; expected 0 to num_train_timesteps - 1, 999"),
  };
  for (const char* text : {"[]", "3", "{"}) {
    const std::string model = make_model("wrong" + std::to_string(number++));
    const std::string file =
        write(std::filesystem::path(model).filename().string() + "/scheduler/scheduler_config.json", text);
    rows.push_back({text, sample(model),
                    file + (text[0] == '{'   ? ": not valid JSON: *"
                            : text[0] == '[' ? ": found array, expected a JSON object of settings"
                                             : ": found number, expected a JSON object of settings")});
  }
  const std::string range = make_model("range", Json::object(), {{"variance_type", "learned_range"}});
  rows.push_back(
      {"learned_range without outputs for it", sample(range),
       range + "/unet/config.json: out_channels is 1 for 1 in_channels; variance_type learned_range expects 2"});
  const std::string wide = make_model("wide", {{"out_channels", 2}});
  rows.push_back(
      {"surplus outputs", sample(wide),
       wide + "/unet/config.json: out_channels is 2 for 1 in_channels; variance_type fixed_small expects 1"});
  const std::string table = make_model("table", {{"time_embedding_type", "learned"}, {"num_train_timesteps", 100}});
  rows.push_back({"learned table too short", sample(table),
                  table + "/unet/config.json: its learned time embedding has num_train_timesteps 100, but the noise "
                          "schedule has 1000 timesteps; make the two agree"});
  check(rows);
}

// Settings of other versions are passed over, each file with one line.
TEST_F(BadInput, UnknownSettingsAreWarnedOf) {
  const std::string model = make_model("future", {{"num_quantum_heads", 2}}, {{"flow_shift", 3}, {"use_magic", true}});
  const ChildResult result = run_ito(sample(model, {"--out", path("drawn")}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::string lines;
  for (size_t at = 0, end; (end = result.err.find('\n', at)) != std::string::npos; at = end + 1)
    if (result.err.compare(at, 5, "ito: ") == 0) lines += result.err.substr(at, end + 1 - at);
  EXPECT_EQ(lines, "ito: warning: " + model + "/unet/config.json: ignoring unknown keys: 'num_quantum_heads'\n" +
                       "ito: warning: " + model +
                       "/scheduler/scheduler_config.json: ignored what is no argument of DDPMScheduler: 'flow_shift', "
                       "'use_magic'\n");
}

TEST_F(BadInput, Tensors) {
  const std::string missing =
      make_model("missing", Json::object(), Json::object(), [](Tensors& t) { t.erase("conv_in.bias"); });
  const std::string surplus = make_model("surplus", Json::object(), Json::object(), [](Tensors& t) {
    t["extra"] = {{1}, {0.0f}};
  });
  const std::string misshapen = make_model("misshapen", Json::object(), Json::object(), [](Tensors& t) {
    t["conv_in.bias"].first = {2, 4};
  });
  const std::string huge = make_model("huge", {{"num_class_embeds", 1 << 24}, {"time_embedding_dim", 1 << 16}},
                                      Json::object(), [](Tensors&) {});
  const std::string pickled = make_model("pickled");
  std::filesystem::rename(pickled + "/unet/" + kWeightsFile, pickled + "/unet/diffusion_pytorch_model.bin");
  const std::string stray = write("stray.bin", "PK"), picture = path("images/class0/0.png");
  const std::string bare = make_model("bare");
  std::filesystem::remove(bare + "/unet/" + kWeightsFile);
  const std::string run_folder = write("broken-run/latest", "checkpoint-000007\n");
  const std::string elsewhere = write("astray/latest", "../model\n");
  const std::string good = make_model("good");
  write("good/model_index.json", "{}");
  const std::string options = write("begun/config.json", R"({"data": "x", "out": "y", "model": "demo", "steps": 9})");
  write("begun/metrics.jsonl", "");
  write("lora/adapter_config.json", "{}");
  const std::string variants = make_model("variants");
  std::filesystem::copy(variants + "/unet/" + kWeightsFile, variants + "/unet/diffusion_pytorch_model.ema.safetensors");
  std::filesystem::rename(variants + "/unet/" + kWeightsFile,
                          variants + "/unet/diffusion_pytorch_model.fp16.safetensors");
  const std::string pickle_message =
      ": a pickled checkpoint can run code when it is read and is not supported; save it as "
      "diffusion_pytorch_model.safetensors";
  check({
      {"missing", sample(missing),
       missing + "/unet/" + kWeightsFile +
           ": tensor conv_in.bias is missing; expected shape [8] by the model's configuration"},
      {"surplus", sample(surplus),
       surplus + "/unet/" + kWeightsFile + ": tensor 'extra' is not part of the configured model; check config.json"},
      {"wrongly shaped", sample(misshapen),
       misshapen + "/unet/" + kWeightsFile +
           ": tensor conv_in.bias has shape [2, 4]; the model's configuration asks "
           "for [8]"},
      {"absurd embedding", sample(huge),
       huge + "/unet/" + kWeightsFile +
           ": tensor class_embedding.weight has shape [3, 32]; the model's "
           "configuration asks for [16777216, 65536]"},
      {"pickled", sample(pickled), pickled + "/unet/diffusion_pytorch_model.bin" + pickle_message},
      {"a pickle itself", sample(stray), stray + pickle_message},
      {"a picture", sample(picture),
       picture + ": is a file; expected the folder of a run, a checkpoint or a model, or a config.json"},
      {"no weights", sample(bare),
       bare + ": found no weights; expected diffusion_pytorch_model.safetensors in it or in its unet folder"},
      {"a file of tensors", sample(good + "/unet/" + kWeightsFile),
       good + "/unet/" + kWeightsFile +
           ": holds tensors alone; give the folder of the model, which has their config.json too"},
      {"the index of a pipeline", sample(good + "/model_index.json"),
       good + "/model_index.json: is the index of a model's parts; give the folder that it is in"},
      {"the options of a run",
       {"inspect", options},
       options +
           ": is no network's configuration but the options of a training run; give the folder of the run, or one "
           "of its checkpoints"},
      {"a run that has only begun", sample(path("begun")),
       path("begun") + ": is a training run that has no whole checkpoint yet; wait for its first, or go on with it"},
      {"an adapter", sample(path("lora")),
       path("lora/adapter_config.json") +
           ": is an adapter, which changes a model and is none; merge it into its model first"},
      {"two variants", sample(variants),
       variants + "/unet: has no " + kWeightsFile +
           ", but several variants of it ('diffusion_pytorch_model.ema.safetensors', "
           "'diffusion_pytorch_model.fp16.safetensors'); rename the one to use"},
      {"no scheduler but a network", train({"--scheduler", good + "/unet/config.json"}),
       good + "/unet/config.json: has neither _class_name nor any key of a noise schedule (num_train_timesteps, "
              "beta_start, ...), so it is no scheduler's configuration"},
      {"no model", sample(images_),
       images_ + ": found neither unet/config.json, transformer/config.json, mixture/config.json, toy/config.json nor "
                 "config.json; expected a "
                 "diffusers model or a training run"},
      {"nothing", sample(path("none")),
       path("none") + ": no such file or folder; expected a run, a checkpoint or a model"},
      {"latest names nothing", sample(path("broken-run")),
       path("broken-run") + ": its file `latest` names " + path("broken-run") +
           "/checkpoint-000007, which is not there"},
      {"latest leads out", sample(path("astray")),
       elsewhere + ": names '../model', expected the name of a checkpoint folder beside it"},
      {"convert to a file",
       {"convert", "--from", good, "--out", stray},
       "--out " + stray + ": already exists and is not an empty folder; remove it or choose another"},
      {"convert without weights",
       {"convert", "--from", bare, "--out", out()},
       bare + ": found no weights; expected diffusion_pytorch_model.safetensors in it or in its unet folder"},
      {"convert below a file",
       {"convert", "--from", good, "--out", stray + "/x"},
       stray + "/x: cannot be written: Not a directory; choose another folder or free some space"},
  });
}

// log t has no value at t = 0.
TEST_F(BadInput, FourierTimes) {
  const Json fourier{{"time_embedding_type", "fourier"}};
  Json config = tiny_model();
  config.update(fourier);
  const std::string file = write("fourier.json", json_text(config));
  const std::string model = make_model("fourier", fourier);
  const std::string offset = make_model("offset", fourier, {{"steps_offset", 1}});
  const std::string refused =
      "/unet/config.json: time_embedding_type is fourier, which takes the logarithm of t, but "
      "the last timestep is 0; use --spacing leading with steps_offset 1 in the scheduler "
      "configuration";
  check({
      {"train", train({"--model", file}),
       "--model " + file +
           ": time_embedding_type is fourier, which takes the logarithm of t; training draws t = 0 too, so use a "
           "model that takes it"},
      {"ddpm", sample(model), model + refused},
      {"ddim", sample(model, {"--sampler", "ddim", "--spacing", "leading"}), model + refused},
      {"linspace", sample(offset, {"--spacing", "linspace"}), offset + refused},
  });
  const ChildResult result =
      run_ito(sample(offset, {"--out", path("drawn"), "--sampler", "ddim", "--spacing", "leading"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(BadInput, SamplesThatAreNotFinite) {
  const auto with_bias = [&](const std::string& name, float value) {
    return make_model(name, Json::object(), Json::object(),
                      [value](Tensors& t) { t.at("conv_out.bias").second.assign(1, value); });
  };
  for (const auto& [name, value] : {std::pair{"nan", std::nanf("")}, {"infinity", INFINITY}}) {
    const ChildResult result = run_ito(sample(with_bias(name, value), {"--sampler", "ddim", "--no-clip"}));
    EXPECT_EQ(result.exit_code, 1) << name << ": " << result.err;
    EXPECT_TRUE(result.err.ends_with(
        "ito: sampling: image 0 holds a value that is not finite after step 1 of 2 (timestep 500); are the model's "
        "weights whole, and is the precision enough for them?\n"))
        << name << ": " << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(files_below(out()).empty()) << name;
  }
  EXPECT_EQ(run_ito(sample(with_bias("finite", 0.5f), {"--out", path("drawn")})).exit_code, 0);
}

// A bound is of a chain that is walked to its last timestep, by a network that says all that its steps ask.
TEST_F(BadInput, BoundsOfModels) {
  const auto bound = [&](const std::string& model, const Words& more = {}) {
    return Words{"likelihood", "--checkpoint", model, "--data", images_, "--out", out(), "--method", "vlb"} + more;
  };
  const auto of = [&](const char* name, const Json& unet, const Json& scheduler) {
    return bound(make_model(name, unet, scheduler));
  };
  check({
      {"no chain", of("ve", Json::object(), {{"family", "ve"}}),
       "the variational bound: a ve model has no chain of timesteps; it is for models of tabled betas"},
      {"no timestep 0", of("fourier", {{"time_embedding_type", "fourier"}}, Json::object()),
       path("fourier") + "/unet/config.json: time_embedding_type is fourier, which takes the logarithm of t; it has no "
                         "value at timestep 0, which the bound asks for"},
      {"no outputs of the variance", of("range", Json::object(), {{"variance_type", "learned_range"}}),
       path("range") + "/unet/config.json: out_channels is 1 for 1 in_channels; variance_type learned_range expects 2"},
      {"pure noise", of("zero", Json::object(), {{"rescale_betas_zero_snr", true}}),
       "sampling: timestep 999 is pure noise (rescale_betas_zero_snr), where prediction_type epsilon determines no "
       "image; *"},
      {"real-valued labels",
       bound(make_model("values", {{"num_class_embeds", nullptr}, {"class_embed_type", "timestep"}}), {"--class", "1"}),
       "--class 1: this model takes real-valued labels; use --labels"},
      {"not measured", bound(make_model("bare"), {"--method", "marginal"}),
       "reverse option marginal: needs what was measured of the network by timestep, and the model has no "
       "level_statistics.json; measure it with reverse-stats"},
      {"no file", bound(path("bare"), {"--method", "marginal", "--statistics", path("none.json")}),
       path("none.json") + ": *"},
      {"memory",
       bound(path("bare"), {"--batch", "60000"}),
       "variational bound*",
       2,
       "",
       {{"ITO_MEMORY_LIMIT_MIB", "40"}}},
  });
}

}  // namespace
}  // namespace ito
