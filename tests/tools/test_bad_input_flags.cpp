// SPDX-License-Identifier: Apache-2.0
// Bad words on the command line and in --config files, sizes beyond any machine, too little memory and full disks.
#include <sys/mount.h>

#include "tests/tools/bad_input.h"

namespace ito {
namespace {

TEST_F(BadInput, CommandLine) {
  const std::string see = " (see ito train --help)", see_sample = " (see ito sample --help)";
  const std::string natural = "expected a whole number in decimal digits, 0 to 18446744073709551615";
  const auto row = [&](const Words& words, const std::string& message) {
    return Row{words.empty() ? "nothing" : words.front() + " " + words.back(), words, message};
  };
  check({
      row({},
          "no sub-command given; expected one of train, sample, predict, *inspect, convert, decode, ema, eval, "
          "reverse-stats, likelihood, measure, restore, pack, bench, profile (see ito --help)"),
      row({"trian"}, "unknown sub-command 'trian'; expected one of *; did you mean 'train'? (see ito --help)"),
      row({"trian", "--data", "x"},
          "unknown sub-command 'trian'; expected one of *; did you mean 'train'? (see ito --help)"),
      row({"--foo"}, "unknown option '--foo' before the sub-command (see ito --help)"),
      row({"train", "--dat", "x"}, "train: unknown option '--dat'; did you mean '--data'?" + see),
      row({"train", "--stesp=5"}, "train: unknown option '--stesp'; did you mean '--steps'?" + see),
      row({"train", "--zzzzzzzzzz"}, "train: unknown option '--zzzzzzzzzz'" + see),
      row({"train", "extra"}, "train: unexpected argument 'extra'" + see),
      row({"sample"}, "sample: --checkpoint is missing" + see_sample),
      row({"sample", "--checkpoint", "x"}, "sample: --out is missing" + see_sample),
      row({"predict", "--checkpoint", "x", "--input", "y"}, "predict: --output is missing (see ito predict --help)"),
      row({"inspect"}, "inspect: path is missing (see ito inspect --help)"),
      row({"eval", "--samples", "x"}, "eval: --data is missing (see ito eval --help)"),
      row({"convert", "--from", "x"}, "convert: --out is missing (see ito convert --help)"),
      row({"train", "--out", out()}, "train: --data is missing: fashion-mnist or a path"),
      row({"train", "--data", images_}, "train: --out is missing: the folder of the run"),
      row({"train", "--json"}, "--json: is for what --print-weights prints; add it, or leave --json out"),
      row({"train", "--data"}, "--data: expected a value after it" + see),
      row({"train", "--adam-betas", "0.9"}, "--adam-betas: expected 2 values after it" + see),
      row({"train", "--batch", "1", "--batch", "2"}, "--batch: given 2 times; expected once" + see),
      row({"train", "--batch", "abc"},
          "--batch 'abc': expected a whole number in decimal digits that fits its range" + see),
      row({"train", "--batch", "1.5"},
          "--batch '1.5': expected a whole number in decimal digits that fits its range" + see),
      row({"train", "--batch", "99999999999"},
          "--batch '99999999999': expected a whole number in decimal digits that fits its range" + see),
      row({"train", "--lr", "fast"}, "--lr 'fast': expected a number" + see),
      row({"train", "--flip=maybe"}, "--flip 'maybe': expected *" + see),
      row({"train", "--seed", "-1"}, "--seed '-1': " + natural + see),
      row({"sample", "--seed", "-1"}, "--seed '-1': " + natural + see_sample),
      row({"bench", "trian"},
          "bench 'trian': expected train, sample, data, rows, ceilings or kernels; did you mean 'train'?"),
      row({"bench", "train", "--against", "jax"}, "--against jax: expected pytorch"),
      row({"bench", "data"}, "bench data: --data is missing: the data set whose loading is timed"),
      row({"bench", "train", "--data", "x"}, "bench train --data x: only data loads a data set"),
      row({"pack", "--data", images_}, "pack: --out is missing (see ito pack --help)"),
      row({"pack", "--data", images_, "--out", "x.npz"}, "--out x.npz: expected a name that ends in .safetensors"),
      row({"pack", "--data", images_, "--out", "x.safetensors", "--channels", "2"},
          "--channels 2: expected 1 (grey), 3 (RGB) or 0 (as they are)"),
      row({"pack", "--data", images_, "--out", "x.safetensors", "--shards", "13"},
          "x.safetensors: 13 shards asked for of 12 images; expected 1 to 12"),
      row({"pack", "--data", images_, "--out", images_ + "/none/x.safetensors"},
          images_ + "/none/x.safetensors: cannot be created: *"),
      row({"bench", "train", "conv2d"}, "bench train 'conv2d': only kernels takes a name"),
      row({"profile", "trian"}, "profile 'trian': expected train or sample; did you mean 'train'?"),
      row({"train", "--data", "x", "--out", "y", "--profile-steps", "9"},
          "--profile-steps '9': expected two steps A:B with 1 <= A <= B, such as 20:29"),
      row({"bench", "train", "--repetitions", "0"}, "--repetitions 0: expected 1 to 1048576"),
      row({"bench", "train", "--model", "demi"},
          "model demi: no such model; use demo, ddpm-cifar10, ddpm-256, dit-b-2, dit-xl-2, jit-tiny, jit-b-16, "
          "jit-b-32, "
          "jit-l-16, jit-l-32, jit-h-16, jit-h-32 or the path of a config.json*"),
      row({"bench", "train", "--timeline", images_ + "/none/t.json"},
          images_ + "/none/t.json: cannot be created: No such file or directory; create its directory first"),
      row({"--device", "gpu", "train"}, "--device gpu: expected auto, cuda or cpu"),
      row({"bench", "train", "--kernel-table", images_ + "/none.json"}, images_ + "/none.json: cannot be read: *"),
  });
}

TEST_F(BadInput, TrainingFlags) {
  const auto row = [&](const Words& words, const std::string& message) {
    return Row{words[0] + " " + words[1], train(words), message};
  };
  const std::string file = write("file", "");
  std::filesystem::create_directory(path("empty"));
  check({
      row({"--steps", "0"}, "--steps 0: expected 1 to 2147483648"),
      row({"--steps", "-1"}, "--steps -1: expected 1 to 2147483648"),
      row({"--steps", "9000000000000"}, "--steps 9000000000000: expected 1 to 2147483648"),
      row({"--batch", "0"}, "--batch 0: expected 1 to 65536"),
      row({"--batch", "-4"}, "--batch -4: expected 1 to 65536"),
      row({"--batch", "1000000000"}, "--batch 1000000000: expected 1 to 65536"),
      row({"--micro-batch", "-1"}, "--micro-batch -1: expected 0 to 65536 (0: the whole batch)"),
      row({"--micro-batch", "8"}, "--micro-batch 8: expected 1 to the batch, 4"),
      row({"--micro-batch", "3"},
          "--micro-batch 3 is not a multiple of 4, the images that one partial weight gradient covers"),
      row({"--micro-batch", "2"},
          "--micro-batch 2 is not a multiple of 4, the images that one partial weight gradient covers"),
      row({"--lr", "0"}, "--lr 0: expected a number above 0 and below 10"),
      row({"--lr", "-0.1"}, "--lr -0.1: expected a number above 0 and below 10"),
      row({"--lr", "nan"}, "--lr nan: expected a number above 0 and below 10"),
      row({"--lr", "inf"}, "--lr inf: expected a number above 0 and below 10"),
      row({"--warmup", "-1"}, "--warmup -1: expected at least 0"),
      row({"--adam-betas", "1", "0.9"}, "--adam-betas 1: expected a value in [0, 1)"),
      row({"--adam-betas", "0.9", "-1"}, "--adam-betas -1: expected a value in [0, 1)"),
      row({"--adam-betas", "nan", "0.9"}, "--adam-betas nan: expected a value in [0, 1)"),
      row({"--weight-decay", "-1"}, "--weight-decay -1: expected 0 to 10"),
      row({"--weight-decay", "nan"}, "--weight-decay nan: expected 0 to 10"),
      row({"--grad-clip", "-1"}, "--grad-clip -1: expected at least 0 (0: no clipping)"),
      row({"--grad-clip", "nan"}, "--grad-clip nan: expected at least 0 (0: no clipping)"),
      row({"--ema-decay", "-1"}, "--ema-decay -1: expected a value in [0, 1)"),
      row({"--ema-decay", "1"}, "--ema-decay 1: expected a value in [0, 1)"),
      row({"--resolution", "-8"}, "--resolution -8: expected 0 to 16384 (0: as the model says)"),
      row({"--resolution", "100000"}, "--resolution 100000: expected 0 to 16384 (0: as the model says)"),
      row({"--resolution", "7"}, "images of 7 x 7: a UNet of 2 levels needs multiples of 2"),
      row({"--checkpoint-every", "-1"}, "--checkpoint-every -1: expected at least 0 (0: at the end only)"),
      row({"--log-every", "0"}, "--log-every 0: expected at least 1"),
      row({"--log-every", "-1"}, "--log-every -1: expected at least 1"),
      row({"--sample-every", "-1"}, "--sample-every -1: expected at least 0 (0: a quarter of the run)"),
      row({"--keep-last", "-1"}, "--keep-last -1: expected at least 0 (0: all)"),
      row({"--keep-every", "-1"}, "--keep-every -1: expected at least 0 (0: none)"),
      row({"--max-skipped", "-1"}, "--max-skipped -1: expected at least 0 (0: never)"),
      row({"--threads", "-1"}, "--threads -1: expected 0 to 4096 (0: all cores)"),
      row({"--threads", "1000000"}, "--threads 1000000: expected 0 to 4096 (0: all cores)"),
      row({"--precision", "fp8"}, "--precision fp8: expected fp32 or bf16*"),
      row({"--lr-schedule", "cosin"},
          "--lr-schedule: 'cosin' is not known; use one of 'constant', 'linear', 'cosine', 'inverse-sqrt'; did you "
          "mean "
          "'cosine'?"),
      row({"--lr-schedule", "inverse-sqrt:reference=0"},
          "--lr-schedule inverse-sqrt: reference is 0; expected 1 to 1e+12"),
      row({"--prediction-type", "eps"},
          "--prediction-type: prediction_type 'eps' is not implemented; use one of epsilon, sample, v_prediction, "
          "score, flow_prediction, mean"),
      row({"--beta-schedule", "lineal"},
          "--beta-schedule: beta_schedule 'lineal' is not implemented; use one of linear, "
          "scaled_linear, squaredcos_cap_v2, sigmoid; did you mean 'linear'?"),
      row({"--loss-weighting", "minsnr"},
          "--loss-weighting: 'minsnr' is not known; use one of 'none', 'snr', 'min-snr', 'soft-min-snr', 'p2', 'edm', "
          "'velocity'; did you mean 'min-snr'?"),
      row({"--loss-weighting", "p2:k=0"}, "--loss-weighting p2: k is 0; expected 1e-06 to 1e+06"),
      row({"--loss-weighting", "snr:gamma=5"}, "--loss-weighting snr: has no number 'gamma'; it has none"),
      row({"--timestep-sampling", "lognormal"},
          "--timestep-sampling: 'lognormal' is not known; use one of 'uniform', 'importance', 'logit-normal', "
          "'log-normal'; did you mean 'log-normal'?"),
      row({"--timestep-sampling", "logit-normal:std=-1"},
          "--timestep-sampling logit-normal: std is -1; expected 0.001 to 1000"),
      row({"--timestep-sampling", "importance:uniform=2"},
          "--timestep-sampling importance: uniform is 2; expected 0 to 1"),
      row({"--scheduler", path("nowhere")},
          "--scheduler " + path("nowhere") +
              ": no such file or folder; expected a scheduler_config.json, or a folder that holds one"),
      row({"--scheduler", path("empty")},
          "--scheduler " + path("empty") +
              ": found neither scheduler/scheduler_config.json nor scheduler_config.json in it"),
      row({"--scheduler", file}, file + ": not valid JSON: *"),
      row({"--scheduler", write("range.json", R"({"variance_type": "learned_range"})")},
          path("model.json") + ": out_channels is 1 for 1 in_channels; variance_type learned_range expects 2"),
      row({"--scheduler", path("range.json"), "--reverse", "marginal"},
          path("range.json") + ": variance_type is learned_range, and reverse marginal has a variance of its own; use "
                               "fixed_small, or the reverse option vlb"),
      row({"--variance-type", "learned_range", "--reverse", "x0-mix"},
          "--variance-type: variance_type is learned_range, and reverse x0-mix has a variance of its own; use "
          "fixed_small, or the reverse option vlb"),
      row({"--variance-type", "learned"},
          "--variance-type: variance_type 'learned' is not implemented; use one of fixed_small, fixed_small_log, "
          "fixed_large, fixed_large_log, learned_range*"),
      row({"--loss", "mse"}, "--loss 'mse': is not known; use one of squared, hybrid, bound"),
      row({"--loss", "hybrid"},
          "--loss hybrid: is for a learned variance, and variance_type is fixed_small; use squared or bound, or "
          "variance_type learned_range"),
      row({"--loss", "bound", "--loss-weighting", "snr"},
          "--loss-weighting snr: weighs the squared error, and --loss bound has its own weights; leave one of them "
          "out"),
      row({"--loss", "bound", "--reverse", "direct"},
          "--loss bound: reverse direct takes its variance from what was measured of the network, so that it has no "
          "bound to train with; use squared, or another reverse option"),
      row({"--scheduler", write("start.json", R"({"beta_start": 2})")},
          path("start.json") + ": beta_start is 2; expected a number between 0 and 1"),
      row({"--scheduler", write("betas.json", R"({"trained_betas": [0.1], "num_train_timesteps": 1})"),
           "--beta-schedule", "sigmoid"},
          "--beta-schedule sigmoid: " + path("betas.json") +
              " holds trained_betas, which replace a schedule; leave one of them out"),
      row({"--scheduler", write("noise.json", R"({"rescale_betas_zero_snr": true, "timestep_spacing": "trailing"})")},
          "sampling: timestep 999 is pure noise (rescale_betas_zero_snr), where prediction_type epsilon determines no "
          "image; *"),
      row({"--model", "demi"},
          "model demi: no such model; use demo, ddpm-cifar10, ddpm-256, dit-b-2, dit-xl-2, jit-tiny, jit-b-16, "
          "jit-b-32, "
          "jit-l-16, jit-l-32, jit-h-16, jit-h-32 or the path of a config.json*"),
      row({"--out", file}, "--out " + file + ": is a file; expected a folder, or the name of one to make"),
      row({"--out", file + "/run"},
          "--out " + file + "/run: cannot be created: Not a directory; choose another folder"),
  });
}

TEST_F(BadInput, SamplingFlags) {
  const std::string model = make_model("model");
  const std::string plain = make_model("plain", {{"num_class_embeds", nullptr}});
  const std::string values = make_model("values", {{"num_class_embeds", nullptr}, {"class_embed_type", "timestep"}});
  const std::string unsized = make_model("unsized", {{"sample_size", nullptr}});
  const auto row = [&](const Words& words, const std::string& message) {
    return Row{words[0] + " " + words[1], sample(model, words), message};
  };
  const std::string file = write("file", "");
  check({
      row({"--count", "0"}, "--count 0: expected 1 to 16777216"),
      row({"--count", "-1"}, "--count -1: expected 1 to 16777216"),
      row({"--count", "1000000000000"}, "--count 1000000000000: expected 1 to 16777216"),
      row({"--first", "-1"}, "--first -1: expected 0 to 2^32 less --count"),
      row({"--first", "4294967295"}, "--first 4294967295: expected 0 to 2^32 less --count"),
      row({"--batch", "0"}, "--batch 0: expected 1 to 65536"),
      row({"--batch", "-1"}, "--batch -1: expected 1 to 65536"),
      row({"--batch", "1000000000"}, "--batch 1000000000: expected 1 to 65536"),
      row({"--steps", "0"}, "--steps 0: expected at least 1; leave it out for the sampler's usual number"),
      row({"--steps", "-3"}, "--steps -3: expected at least 1; leave it out for the sampler's usual number"),
      row({"--steps", "1001"}, "--steps 1001: expected 1 to 1000, the timesteps that the model was trained on"),
      row({"--height", "-8"}, "--height -8: expected 0 to 16384 (0: as the model says)"),
      row({"--height", "100000"}, "--height 100000: expected 0 to 16384 (0: as the model says)"),
      row({"--width", "100000"}, "--width 100000: expected 0 to 16384 (0: as the model says)"),
      row({"--height", "7"}, "images of 7 x 8: a UNet of 2 levels needs multiples of 2"),
      row({"--threads", "-1"}, "--threads -1: expected 0 to 4096 (0: all cores)"),
      row({"--sampler", "dddim"}, "sampler 'dddim' is not known; use one of ddpm, ddim, *; did you mean 'ddim'?"),
      row({"--spacing", "even"},
          "--spacing: timestep_spacing 'even' is not implemented; use one of leading, linspace, trailing"),
      row({"--precision", "fp8"}, "--precision fp8: expected fp32 or bf16*"),
      row({"--set", "eta=0.5"}, "sampler ddpm: has no option 'eta'; it has 'mix', *"),
      row({"--set", "eta"}, "sampler ddpm: 'eta' sets nothing; expected key=value"),
      row({"--set", "eta=-1", "--sampler", "ddim"}, "sampler ddim: eta is -1; expected 0 to 1"),
      row({"--set", "eta=2", "--sampler", "ddim"}, "sampler ddim: eta is 2; expected 0 to 1"),
      row({"--set", "etta=1", "--sampler", "ddim"},
          "sampler ddim: has no option 'etta'; it has 'eta', 'use_clipped_model_output', 'thresholding', *; did you "
          "mean 'eta'?"),
      row({"--set", "eta=nan", "--sampler", "ddim"}, "sampler ddim: eta is nan; expected 0 to 1"),
      row({"--class", "3"}, "--class 3: the model has classes 0 to 2"),
      row({"--clip-denoised", "of"}, "--clip-denoised 'of': expected on or off"),
      row({"--class", "-2"}, "--class -2: expected at least -1 (-1: all classes in turn)"),
      {"class without classes", sample(plain, {"--class", "1"}),
       "--class 1: this model has no classes; leave the flag out"},
      {"real-valued labels", sample(values),
       "--labels: is missing, and the model takes real-valued labels of 1 number an image (class_embed_type); give "
       "numbers or a file"},
      {"classes of real-valued labels", sample(values, {"--class", "1"}),
       "--class 1: this model takes real-valued labels; use --labels"},
      {"labels of classes", sample(model, {"--labels", "1"}),
       "--labels '1': the model takes class numbers; use --class"},
      {"labels without any", sample(plain, {"--labels", "1"}),
       "--labels '1': the model takes no labels; leave the flag out"},
      {"labels that are none", sample(values, {"--labels", "0.5,"}),
       "--labels '0.5,': is neither numbers with commas between nor a file"},
      {"no average", sample(model, {"--ema", "0.9"}),
       model + "/unet: has no average '0.9' beside the model's weights; there is none"},
      {"no size", sample(unsized), unsized + "/unet/config.json: has no image size; give the height and the width"},
      row({"--out", file}, "--out " + file + ": is a file; expected a folder, or the name of one to make"),
      row({"--out", file + "/x"},
          "--out " + file + "/x: cannot be made a folder: Not a directory; choose another path"),
      {"inspect", {"inspect", model, "--batch", "0"}, "--batch 0: expected 1 to 65536"},
      {"inspect", {"inspect", model, "--height", "-1"}, "--height -1: expected 0 to 16384 (0: as the model says)"},
  });
}

TEST_F(BadInput, OptionFiles) {
  int number = 0;
  const auto row = [&](const std::string& text, const std::string& message) {
    const std::string file = write("options" + std::to_string(number++) + ".json", text);
    return Row{text, train({"--config", file}), file + ": " + message};
  };
  const auto late = [&](const std::string& text, const std::string& message) {
    const std::string file = write("options" + std::to_string(number++) + ".json", text);
    return Row{text, {"train", "--data", images_, "--out", out(), "--config", file}, message};
  };
  check({
      row("[1]", "found array, expected a JSON object of options"),
      row("7", "found number, expected a JSON object of options"),
      row("{\"steps\": 3", "not valid JSON: *"),
      row(R"({"stepz": 3})", "unknown key stepz; did you mean 'steps'?"),
      row(R"({"checkpoint-every": 3})", "unknown key checkpoint-every; did you mean 'checkpoint_every'?"),
      row(R"({"zzzzzzzzzzzz": 3})", "unknown key zzzzzzzzzzzz"),
      row(R"({"steps": "100"})", "steps is \"100\"; expected a whole number"),
      row(R"({"steps": true})", "steps is true; expected a whole number"),
      row(R"({"steps": 1.5})", "steps is 1.5; expected a whole number"),
      row(R"({"steps": null})", "steps is null; expected a whole number"),
      row(R"({"steps": [1]})", "steps is [1]; expected a whole number"),
      row(R"({"lr": "fast"})", "lr is \"fast\"; expected a number"),
      row(R"({"flip": 1})", "flip is 1; expected true or false"),
      row(R"({"model": 5})", "model is 5; expected a text"),
      row(R"({"adam_betas": 0.9})", "adam_betas is 0.9; expected a list of numbers"),
      row(R"({"adam_betas": [0.9, "x"]})", "adam_betas is [0.9,\"x\"]; expected a list of numbers"),
      row(R"({"steps": 3, "steps": 4})", "the key 'steps' occurs twice in one object"),
      late(R"({"adam_betas": [0.9]})",
           "*adam_betas is [0.9], which is not what --adam-betas takes; see ito train --help"),
      late(R"({"seed": -1})", "*seed is -1, which is not what --seed takes; see ito train --help"),
      late(R"({"batch": 99999999999})", "*batch is 99999999999, which is not what --batch takes; see ito train --help"),
      late(R"({"batch": 0})", "--batch 0: expected 1 to 65536"),
      {"no such file", train({"--config", path("none.json")}),
       path("none.json") + ": cannot be read: No such file or directory"},
  });
}

// The plan's sum against the limit, before anything is allocated.
TEST_F(BadInput, TooLittleMemory) {
  const std::string model = make_model("model");
  const std::map<std::string, std::string> one_mib{{"ITO_MEMORY_LIMIT_MIB", "1"}};
  const std::string training =
      "training needs # MiB (activations #, parameters and images #, data set #, copies for a checkpoint #) but only # "
      "MiB are "
      "free; lower micro_batch or "
      "batch, or take a smaller model or resolution";
  const std::string sampling =
      "sampling needs # MiB (network #, weights #, images #) but only # MiB are free; lower the batch, the count or "
      "the "
      "image size";
  SafetensorsWriter writer;
  writer.add("sample", {64, 1, 8, 8}, std::vector<float>(64 * 64));
  writer.add("timestep", {64}, std::vector<float>(64));
  writer.add_i64("class_labels", {64}, std::vector<int64_t>(64));
  const std::string input = path("input.safetensors");
  writer.write(input);
  Json huge = tiny_model();
  huge["num_class_embeds"] = 1 << 24;
  huge["time_embedding_dim"] = 1 << 16;
  const std::string huge_model = write("huge.json", json_text(huge));
  check({
      {"train", train(), training, 2, "", one_mib},
      {"absurd embedding", train({"--model", huge_model}), training},
      {"absurd steps", train({"--steps", "2000000000"}), training, 2, "", {{"ITO_MEMORY_LIMIT_MIB", "1000"}}},
#ifndef __SANITIZE_ADDRESS__  // whose shadow alone takes terabytes of addresses
      {"address space", train({"--batch", "65536", "--threads", "1"}), training, 2, "ulimit -v 1500000"},
#endif
      {"sample", sample(model, {"--batch", "64", "--count", "64"}), sampling, 2, "", one_mib},
      {"absurd images", sample(model, {"--height", "16384", "--width", "16384"}), "*MiB are free; lower *"},
      {"absurd batch of absurd images",
       sample(model, {"--height", "16384", "--width", "16384", "--batch", "65536", "--count", "65536"}),
       "conv_in: a tensor of 65536 x 16384 x 16384 x 8 numbers is larger than any memory; make the batch, the image or "
       "the model smaller"},
      {"predict", predict(model, input),
       "predicting needs # MiB (network #, images #) but only 1 MiB are free; lower the batch, or split the input", 2,
       "", one_mib},
      {"the variable itself",
       train(),
       "ITO_MEMORY_LIMIT_MIB is 'lots'; expected a whole number of MiB",
       2,
       "",
       {{"ITO_MEMORY_LIMIT_MIB", "lots"}}},
      {"the variable negative",
       train(),
       "ITO_MEMORY_LIMIT_MIB is '-1'; expected a whole number of MiB",
       2,
       "",
       {{"ITO_MEMORY_LIMIT_MIB", "-1"}}},
  });
  Row enough{"enough", train({"--out", path("enough")}), "", 0, "", {{"ITO_MEMORY_LIMIT_MIB", "64"}}};
  const ChildResult result = run(enough);
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

// Where training prints its progress first, the error is the last line and the only one that begins with "ito: ".
void expect_last_line(const ChildResult& result, const std::string& expected) {
  EXPECT_EQ(result.exit_code, 2) << result.err;
  const size_t start = result.err.rfind("ito: ");
  ASSERT_NE(start, std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("ito: "), start) << result.err;
  EXPECT_TRUE(matches(result.err.substr(start), "ito: " + expected + "\n"))
      << "found    " << result.err << "expected ito: " << expected;
}

bool has_partial(const std::string& folder) {
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder))
    if (item.path().string().find(".partial") != std::string::npos) return true;
  return false;
}

// A limit on file sizes is a disk that is full for one file.
TEST_F(BadInput, FilesThatCannotGrow) {
  const std::string model = make_model("model");
  const std::string limit = "; the file-size limit is reached: raise it (ulimit -f) or write elsewhere";
  const std::string kib = "ulimit -f 16", two = "ulimit -f 2";  // blocks of 512 bytes
  const std::string run_out = path("checkpoint-run");
  expect_last_line(
      run({"", train({"--out", run_out}), "", 2, kib}),
      run_out + "/checkpoint-000002.partial/unet/" + kWeightsFile + ": writing failed: File too large" + limit);
  EXPECT_FALSE(has_partial(run_out));
  EXPECT_FALSE(std::filesystem::exists(run_out + "/checkpoint-000002"));
  EXPECT_FALSE(std::filesystem::exists(run_out + "/latest"));

  const std::string log_out = path("log-run");
  expect_last_line(
      run({"", train({"--out", log_out, "--steps", "100", "--log-every", "1", "--sample-every", "1000"}), "", 2, two}),
      "step #: " + log_out +
          "/metrics.jsonl: writing failed: File too large; free some space, then go on with --resume; no checkpoint "
          "was written "
          "yet");
  EXPECT_FALSE(has_partial(log_out));
  const std::string log = read_bytes(log_out + "/metrics.jsonl");
  EXPECT_GT(log.size(), 500u);
  EXPECT_EQ(log.back(), '\n') << "half a line stayed";

  const std::string drawn = path("drawn");
  expect_last_line(run({"", sample(model, {"--out", drawn, "--count", "64"}), "", 2, kib}),
                   drawn + "/parts/samples.safetensors, of # MiB: cannot be made: File too large" + limit);
  EXPECT_TRUE(std::filesystem::is_empty(drawn));

  SafetensorsWriter writer;
  writer.add("sample", {64, 1, 8, 8}, std::vector<float>(64 * 64));
  writer.add("timestep", {64}, std::vector<float>(64));
  writer.add_i64("class_labels", {64}, std::vector<int64_t>(64));
  writer.write(path("input.safetensors"));
  expect_last_line(run({"", predict(model, path("input.safetensors")), "", 2, kib}),
                   out("p.safetensors") + ": writing failed: File too large" + limit);
  expect_last_line(run({"", {"convert", "--from", model, "--out", out("new")}, "", 2, kib}),
                   out("new") + ".partial/unet/" + kWeightsFile + ": writing failed: File too large" + limit);
  EXPECT_EQ(count_entries(), 0u);
  const ChildResult full = run({"", {"inspect", model, "--ops"}, "", 2, "exec >/dev/full"});
  expect_last_line(full, "standard output cannot be written: No space left on device");
}

// A file system of its own that is full; needs the right to mount one.
class FullDisk : public BadInput {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(disk_);
    if (mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=96k") != 0) GTEST_SKIP() << "mounting a tmpfs needs root";
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) umount2(disk_.c_str(), MNT_DETACH);
  }
  std::string disk_ = path("disk");
  bool mounted_ = false;
};

TEST_F(FullDisk, LeavesNothingHalfWritten) {
  const std::string model = make_model("model");
  const std::string no_space = "No space left on device; free some space or write elsewhere",
                    full = ": writing failed: " + no_space;
  const std::string trained = disk_ + "/run", drawn = disk_ + "/drawn";
  expect_last_line(run({"", train({"--out", trained}), ""}),
                   trained + "/checkpoint-000002.partial/unet/" + kWeightsFile + full);
  EXPECT_FALSE(has_partial(disk_));
  EXPECT_FALSE(std::filesystem::exists(trained + "/latest"));
  expect_last_line(run({"", sample(model, {"--out", drawn, "--count", "512", "--batch", "512", "--steps", "1"}), ""}),
                   drawn + "/parts/samples.safetensors, of # MiB: cannot be made: " + no_space);
  EXPECT_TRUE(std::filesystem::is_empty(drawn));
  SafetensorsWriter writer;
  writer.add("sample", {512, 1, 8, 8}, std::vector<float>(512 * 64));
  writer.add("timestep", {512}, std::vector<float>(512));
  writer.add_i64("class_labels", {512}, std::vector<int64_t>(512));
  writer.write(path("input.safetensors"));
  expect_last_line(run({"", predict(model, path("input.safetensors"), {"--output", disk_ + "/p.safetensors"}), ""}),
                   disk_ + "/p.safetensors" + full);
  EXPECT_FALSE(has_partial(disk_));
  EXPECT_FALSE(std::filesystem::exists(disk_ + "/p.safetensors"));
}

}  // namespace
}  // namespace ito
