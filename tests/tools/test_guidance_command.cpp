// SPDX-License-Identifier: Apache-2.0
// Guidance through the commands, on a mixture with classes and on a trained model: where it is nothing there are the
// bits of no guidance, a model led away from itself stays where it is, and what does not fit is refused in a line.
#include <cmath>

#include "tests/models/mixture/two_bumps.h"
#include "tests/tools/bad_input.h"

namespace ito {
namespace {

class GuidanceCommand : public BadInput {
 protected:
  Words sample_words(const std::string& model, const Words& more) const {
    return Words{"sample", "--checkpoint", model,  "--out",   path("drawn"), "--count", "4", "--seed",
                 "3",      "--sampler",    "ddim", "--steps", "4",           "--raw"} +
           more;
  }
  std::vector<float> sample(const std::string& model, const Words& more = {}) const {
    const ChildResult result = run_ito(sample_words(model, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile::open(path("drawn/samples.safetensors")).read_f32("samples");
  }
  Json likelihood(const Words& more) const {
    const ChildResult result =
        run_ito(Words{"likelihood", "--checkpoint", mixture_, "--data", path("x.safetensors"), "--class", "1", "--rtol",
                      "1e-2", "--atol", "1e-2", "--out", path("judged")} +
                more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_json_file(path("judged/likelihood.json"));
  }
  void write_images(const std::string& name, int64_t count) const {
    std::vector<float> values(static_cast<size_t>(count) * 16);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    SafetensorsWriter writer;
    writer.add("samples", {count, 2, 2, 4}, values);
    writer.write(path(name));
  }

  std::string mixture_ = write("m.json", json_text(test::images_of_two_classes()));
};

TEST_F(GuidanceCommand, SamplesAreGuided) {
  const std::vector<float> plain = sample(mixture_, {"--class", "1"});
  const std::vector<float> guided = sample(mixture_, {"--class", "1", "--guidance", "2"});
  EXPECT_NE(guided, plain);
  EXPECT_EQ(sample(mixture_, {"--class", "1", "--guidance", "2", "--batch", "1"}), guided);
  EXPECT_EQ(sample(mixture_, {"--class", "1", "--guidance", "1"}), plain);
  // Timesteps of four leading steps are 0, 250, 500 and 750.
  const auto within = [&](const char* interval) {
    return sample(mixture_, {"--class", "1", "--guidance", "2", "--guidance-interval", interval});
  };
  EXPECT_EQ(within("0:1000"), guided);
  EXPECT_EQ(within("0:750"), guided);
  EXPECT_EQ(within("760:1000"), plain);
  EXPECT_NE(within("0:740"), guided);
  EXPECT_NE(within("0:740"), plain);
  // All classes in turn are the real ones, and without guidance all labels.
  const auto classes = [&] { return SafetensorsFile::open(path("drawn/samples.safetensors")).read_i64("labels"); };
  sample(mixture_, {"--guidance", "2"});
  EXPECT_EQ(classes(), (std::vector<int64_t>{0, 1, 0, 1}));
  sample(mixture_);
  EXPECT_EQ(classes(), (std::vector<int64_t>{0, 1, 2, 0}));
}

// An interval of sigmas, for a model that is given them: four steps from 50 down.
TEST_F(GuidanceCommand, AModelOfSigmasHasIntervalsOfSigmas) {
  const std::string ve = write("ve.json", json_text({{"_class_name", "DDPMScheduler"},
                                                     {"family", "ve"},
                                                     {"clip_sample", false},
                                                     {"sigma_min", 0.01},
                                                     {"sigma_max", 50}}));
  const Words words{"--scheduler", ve, "--sampler", "heun", "--class", "0"};
  const std::vector<float> plain = sample(mixture_, words), guided = sample(mixture_, words + Words{"--guidance", "2"});
  const auto within = [&](const char* interval) {
    return sample(mixture_, words + Words{"--guidance", "2", "--guidance-interval", interval});
  };
  EXPECT_NE(guided, plain);
  EXPECT_EQ(within("0.005:50"), guided);
  EXPECT_EQ(within("51:900"), plain);
  EXPECT_NE(within("0.005:5"), guided);
  EXPECT_NE(within("0.005:5"), plain);
}

// main - guide is 0 for one model, and its weights stand in the arena twice.
TEST_F(GuidanceCommand, AModelLedAwayFromItselfStays) {
  const std::string model = make_model("model");
  const std::string plainer = make_model("plainer", {{"num_class_embeds", nullptr}});
  const std::vector<float> plain = sample(model);
  EXPECT_EQ(sample(model, {"--guidance", "3", "--guide", model}), plain);
  EXPECT_NE(sample(model, {"--guidance", "3"}), plain);
  EXPECT_NE(sample(model, {"--guidance", "3", "--guide", plainer}), plain) << "a guide without classes";
}

TEST_F(GuidanceCommand, PredictionsAndLikelihoodsAreGuided) {
  std::vector<float> x(16);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i));
  const auto ask = [&](int64_t label, const Words& more) {
    SafetensorsWriter input;
    input.add("sample", {1, 2, 2, 4}, x);
    input.add("timestep", {1}, {400});
    input.add_i64("class_labels", {1}, {label});
    input.write(path("in.safetensors"));
    const ChildResult result = run_ito(Words{"predict", "--checkpoint", mixture_, "--input", path("in.safetensors"),
                                             "--output", path("out.safetensors")} +
                                       more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile::open(path("out.safetensors")).read_f32("prediction");
  };
  const std::vector<float> main = ask(1, {}), none = ask(2, {}), guided = ask(1, {"--guidance", "3"});
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(guided[i], std::fmaf(2.0f, main[i] - none[i], main[i])) << i;

  write_images("x.safetensors", 2);
  const Json plain = likelihood({}), same = likelihood({"--guidance", "1"}), away = likelihood({"--guidance", "2"});
  EXPECT_EQ(same.at("log_prob"), plain.at("log_prob"));
  EXPECT_NE(away.at("log_prob"), plain.at("log_prob"));
  EXPECT_FALSE(plain.contains("guidance"));
  EXPECT_EQ(likelihood({"--guidance", "2", "--guidance-interval", "0:1000"}).at("log_prob"), away.at("log_prob"));
  EXPECT_EQ(likelihood({"--guidance", "2", "--guidance-interval", "1001:2000"}).at("log_prob"), plain.at("log_prob"));
  EXPECT_EQ(away.at("guidance"), (Json{{"--guidance", 2.0}}));
}

// Guidance is one of a restoration's settings, by which its parts are told from another's.
TEST_F(GuidanceCommand, RestorationsAreGuided) {
  write_images("x.safetensors", 2);
  const ChildResult measured = run_ito({"measure", "--data", path("x.safetensors"), "--operator", "inpaint:random:0.5",
                                        "--sigma-y", "0.15", "--count", "2", "--out", path("y.safetensors")});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const auto restore = [&](const Words& more) {
    const ChildResult result =
        run_ito(Words{"restore", "--checkpoint", mixture_, "--measurements", path("y.safetensors"), "--solver", "dps",
                      "--steps", "4", "--class", "0", "--out", path("restored")} +
                more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile::open(path("restored/restored.safetensors")).read_f32("samples");
  };
  const std::vector<float> plain = restore({}), guided = restore({"--guidance", "2"});
  EXPECT_NE(guided, plain);
  EXPECT_EQ(read_json_file(path("restored/restored.json")).at("guidance"), 2.0);
  EXPECT_EQ(restore({"--guidance", "1"}), plain);
  EXPECT_EQ(restore({"--guidance", "2", "--batch", "1"}), guided);
}

TEST_F(GuidanceCommand, WhatDoesNotFitIsRefused) {
  const std::string model = make_model("model"), plain = make_model("plain", {{"num_class_embeds", nullptr}});
  const std::string v = make_model("v", Json::object(), {{"prediction_type", "v_prediction"}});
  const std::string other = make_model("other", Json::object(), {{"beta_end", 0.03}});
  const std::string shorter = make_model("shorter", Json::object(), {{"num_train_timesteps", 500}});
  const std::string classes = make_model("classes", {{"num_class_embeds", 4}});
  const auto row = [&](const std::string& of, const Words& words, const std::string& message) {
    return Row{words.back(), BadInput::sample(of, words), message};
  };
  const auto guide = [&](const std::string& by, const std::string& message) {
    return row(model, {"--guidance", "2", "--guide", by}, by + message);
  };
  check({
      row(model, {"--guidance", "-1"}, "--guidance '-1': expected a number, 0 to 10000 (1: no guidance)"),
      row(model, {"--guidance", "nan"}, "--guidance 'nan': expected a number, 0 to 10000 (1: no guidance)"),
      row(model, {"--guidance", "two"}, "--guidance 'two': expected a number, 0 to 10000 (1: no guidance)"),
      row(model, {"--guidance", "2", "--guidance-interval", "800:100"},
          "--guidance-interval '800:100': expected A:B, two numbers of at least 0 in this order, as in 100:800"),
      row(model, {"--guidance", "2", "--guidance-interval", "800"},
          "--guidance-interval '800': expected A:B, two numbers of at least 0 in this order, as in 100:800"),
      row(model, {"--guidance-interval", "1:2"},
          "--guidance-interval 1:2: says where guidance holds, and there is none; add --guidance, or leave it out"),
      row(model, {"--guide", plain}, "--guide " + plain + ": guides by a weight; add --guidance, or leave it out"),
      row(model, {"--guidance", "2", "--class", "2"}, "--class 2: the model has classes 0 to 1"),
      row(plain, {"--guidance", "2"},
          plain + "/unet/config.json: has no classes, so that there is no class to leave out; guide it by another "
                  "model, or leave guidance out"),
      guide(v,
            "/unet/config.json: a guide of prediction_type v_prediction for a model of epsilon; take a guide that "
            "answers the same"),
      guide(other,
            "/unet/config.json: a guide whose noise at timestep # is # of the state, the model's #; take one "
            "that was trained on the same noise schedule"),
      guide(shorter,
            "/unet/config.json: a guide of 500 timesteps for a model of 1000; take one that was trained on "
            "the same noise schedule"),
      guide(classes,
            "/unet/config.json: a guide of 4 classes for a model of 3 classes; take one of the same labels, or of "
            "none"),
      Row{"dropout", train({"--class-dropout", "0.1"}),
          images_ + ": has 3 classes, the model num_class_embeds 3, the last of which --class-dropout takes for no "
                    "class; give it data with labels, or as many class embeddings as there are classes and one more"},
      Row{"dropout", train({"--class-dropout", "1"}), "--class-dropout 1: expected *"},
  });
}

// With an embedding more than there are classes a run leaves classes out, and is guided by what it learnt.
TEST_F(GuidanceCommand, ATrainedModelIsGuided) {
  Json model = tiny_model();
  model["num_class_embeds"] = kTinyClasses + 1;
  const ChildResult trained =
      run_ito(train({"--class-dropout", "0.3", "--model", write("four.json", json_text(model)), "--out", path("run")}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(read_json_file(path("run/config.json")).at("class_dropout"), 0.3);
  EXPECT_NE(sample(path("run"), {"--guidance", "2"}), sample(path("run"), {"--class", "-1"}));
}

}  // namespace
}  // namespace ito
