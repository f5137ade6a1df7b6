// SPDX-License-Identifier: Apache-2.0
// Real-valued labels through the commands: a flag, a file and what stands with the data say the same, another label
// leads elsewhere, and what does not fit is refused in a line.
#include <cmath>

#include "tests/tools/bad_input.h"

namespace ito {
namespace {

constexpr int64_t kPoints = 3, kSize = int64_t{kTinySize} * kTinySize;

class LabelCommands : public BadInput {
 protected:
  // Weights that are nowhere zero, so that labels matter.
  std::string model_of(const std::string& name, const Json& unet) const {
    const std::string known = make_model("bare " + name, unet);
    const SafetensorsFile file = SafetensorsFile::open(known + "/unet/" + kWeightsFile);
    SafetensorsWriter writer;
    int count = 0;
    for (const std::string& tensor : file.names()) {
      std::vector<float> values = file.read_f32(tensor);
      for (float& value : values) value += 0.1f * std::sin(static_cast<float>(++count));
      writer.add(tensor, file.entry(tensor).shape, std::move(values));
    }
    writer.write(known + "/unet/" + kWeightsFile);
    return known;
  }
  // width: numbers an image, in a tensor of two sides; 0: of one; -1: without labels.
  std::string data(const std::string& name, int64_t width = -1, const std::vector<float>& labels = {}) const {
    SafetensorsWriter writer;
    std::vector<float> values;
    for (int64_t i = 0; i < kPoints * kSize; ++i) values.push_back(std::sin(0.3f * static_cast<float>(i)));
    writer.add("samples", {kPoints, 1, kTinySize, kTinySize}, std::move(values));
    add_labels(writer, width, labels);
    writer.write(path(name));
    return path(name);
  }
  std::string label_file(const std::string& name, int64_t width, const std::vector<float>& labels) const {
    SafetensorsWriter writer;
    add_labels(writer, width, labels);
    writer.write(path(name));
    return path(name);
  }
  static void add_labels(SafetensorsWriter& writer, int64_t width, const std::vector<float>& labels) {
    const auto count = static_cast<int64_t>(labels.size());
    if (width == 0) writer.add("labels", {count}, std::vector<float>(labels));
    if (width > 0) writer.add("labels", {count / width, width}, std::vector<float>(labels));
  }

  Words likelihood_words(const std::string& points, const Words& more) const {
    return Words{"likelihood", "--checkpoint", ages_, "--data", points, "--out", out("judged")} + more;
  }
  Json judged(const std::string& points, const Words& more) const {
    const ChildResult result = run_ito(likelihood_words(points, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_json_file(out("judged/likelihood.json")).at("log_prob");
  }
  std::string measured(const std::string& points, const std::string& name) const {
    const ChildResult result = run_ito({"measure", "--data", points, "--operator", "inpaint:random:0.5", "--sigma-y",
                                        "0.1", "--count", "3", "--out", path(name)});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return path(name);
  }
  Words restore_words(const std::string& measurements, const Words& more) const {
    return Words{"restore", "--checkpoint", ages_, "--measurements", measurements,   "--solver", "pigdm", "--steps",
                 "2",       "--draws",      "2",   "--out",          out("restored")} +
           more;
  }
  std::vector<float> restored(const std::string& measurements, const Words& more = {}) const {
    const ChildResult result = run_ito(restore_words(measurements, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile::open(out("restored/restored.safetensors")).read_f32("samples");
  }

  std::string ages_ = model_of("ages", {{"num_class_embeds", nullptr}, {"class_embed_type", "timestep"}});
  const std::vector<float> labels_{20.5f, 40, 60};
  std::string bare_ = data("bare.safetensors");
};

TEST_F(LabelCommands, LikelihoodsAreOfLabels) {
  const std::string labelled = data("labelled.safetensors", 0, labels_);
  for (const Words& method : {Words{"--rtol", "0.5", "--atol", "0.5"}, {"--method", "vlb", "--decoder", "density"}}) {
    const auto of = [&](const std::string& points, const Words& more = {}) { return judged(points, method + more); };
    const Json given = of(bare_, {"--labels", "20.5,40,60"});
    EXPECT_EQ(given.size(), 3u);
    EXPECT_EQ(of(labelled), given) << "as the data says";
    EXPECT_EQ(of(bare_, {"--labels", label_file("two sides", 1, labels_)}), given);
    EXPECT_EQ(of(bare_, {"--labels", label_file("one side", 0, labels_)}), given);
    EXPECT_EQ(of(bare_, {"--labels", "20.5,40,60", "--batch", "2"}), given);
    const Json turned = of(labelled, {"--labels", "20.5,60,40"});
    EXPECT_EQ(turned[0], given[0]) << "the flag wins";
    EXPECT_NE(turned[1], given[1]);
    // Point 1 has the second of the flag's labels, and its own of the data's.
    EXPECT_EQ(of(labelled, {"--first", "1", "--count", "1"}),
              of(bare_, {"--first", "1", "--count", "1", "--labels", "20.5,40,60"}));
  }
}

TEST_F(LabelCommands, RestorationsAreOfLabels) {
  const std::string y = measured(bare_, "y"), with = measured(data("labelled.safetensors", 1, labels_), "labelled y");
  const std::vector<float> given = restored(y, {"--labels", "20.5,40,60"});
  EXPECT_EQ(restored(with), given) << "as the measurements' file says";
  EXPECT_EQ(restored(y, {"--labels", label_file("file", 0, labels_), "--batch", "1"}), given);
  const std::vector<float> turned = restored(with, {"--labels", "20.5,60,40"});
  const auto each = static_cast<ptrdiff_t>(2 * kSize);  // two draws
  EXPECT_TRUE(std::equal(given.begin(), given.begin() + each, turned.begin()));
  for (int i = 1; i < kPoints; ++i)
    EXPECT_FALSE(std::equal(given.begin() + i * each, given.begin() + (i + 1) * each, turned.begin() + i * each)) << i;
  const std::vector<float> last = restored(with, {"--first", "2"});
  EXPECT_TRUE(std::equal(last.begin(), last.end(), given.begin() + 2 * each));
  // Class numbers of a file are numbers to such a model.
  SafetensorsWriter writer;
  writer.add("samples", {kPoints, 1, kTinySize, kTinySize}, SafetensorsFile::open(bare_).read_f32("samples"));
  writer.add_i64("labels", {kPoints}, {2, 0, 1});
  writer.write(path("classes.safetensors"));
  EXPECT_EQ(restored(measured(path("classes.safetensors"), "classes y")), restored(y, {"--labels", "2,0,1"}));
}

// Led away from another model that is told the same labels, where it is told any.
TEST_F(LabelCommands, AGuideIsToldTheSame) {
  const std::string other = model_of("other", {{"num_class_embeds", nullptr}, {"class_embed_type", "timestep"}}),
                    none = model_of("none", {{"num_class_embeds", nullptr}});
  const auto drawn = [&](const Words& more) {
    const ChildResult result = run_ito(sample(ages_, Words{"--labels", "20,40", "--out", out("drawn")} + more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile::open(out("drawn/samples.safetensors")).read_f32("samples");
  };
  const std::vector<float> plain = drawn({});
  EXPECT_EQ(drawn({"--guidance", "3", "--guide", other}), plain) << "from a model of the same weights to nowhere";
  EXPECT_NE(drawn({"--guidance", "3", "--guide", none}), plain);
}

TEST_F(LabelCommands, WhatDoesNotFitIsRefused) {
  const std::string classes = make_model("classes"),
                    wide = make_model("wide", {{"num_class_embeds", nullptr}, {"class_embed_type", "identity"}});
  const std::string pairs = data("pairs.safetensors", 2, {1, 2, 3, 4, 5, 6}), y = measured(bare_, "y"),
                    y_pairs = measured(pairs, "pairs y");
  const auto judging = [&](const Words& more) { return likelihood_words(bare_, more); };
  const auto restoring = [&](const Words& more) { return restore_words(y, more); };
  const std::string infinite = label_file("infinite", 0, {1, INFINITY}), two = label_file("two", 2, {1, 2});
  std::vector<Row> rows{
      {"points without labels", judging({}), bare_ + ": has no labels, which this model needs; use --labels"},
      {"measurements without labels", restoring({}), y + ": has no labels, which this model needs; use --labels"},
      {"points of pairs", likelihood_words(pairs, {}), pairs + ": has labels of 2 numbers an image, the model takes 1"},
      {"measurements of pairs", restore_words(y_pairs, {}),
       y_pairs + ": has labels of 2 numbers an image, the model takes 1"},
      {"a guide of classes", sample(ages_, {"--labels", "1", "--guidance", "2", "--guide", classes}),
       classes + "/unet/config.json: a guide of 3 classes for a model of labels of 1 real number; take one of the same "
                 "labels, or of none"},
      {"a guide of wider labels", sample(ages_, {"--labels", "1", "--guidance", "2", "--guide", wide}),
       wide + "/unet/config.json: a guide of labels of # real numbers for a model of labels of 1 real number; take one "
              "of the same labels, or of none"},
      {"a class to leave out", sample(ages_, {"--labels", "1", "--guidance", "2"}),
       ages_ + "/unet/config.json: has real-valued class labels, so that there is no class to leave out; guide it by "
               "another model, or leave guidance out"},
  };
  for (const auto& words : {Words(judging({})), Words(restoring({}))}) {
    const auto row = [&](const Words& more, const std::string& message) {
      rows.push_back({words[0] + " " + more.back(), words + more, message});
    };
    row({"--class", "1"}, "--class 1: this model takes real-valued labels; use --labels");
    row({"--labels", "0.5,"}, "--labels '0.5,': is neither numbers with commas between nor a file");
    row({"--labels", infinite}, infinite + ": labels holds inf; expected finite numbers");
    row({"--labels", bare_}, bare_ + ": has no tensor 'labels'");
    row({"--labels", two}, two + ": tensor 'labels' has shape [1, 2]; the model takes [M, 1] or [M]");
    row({"--labels", "1", "--checkpoint", classes}, "--labels '1': the model takes class numbers; use --class");
  }
  check(rows);
  const std::string y_values = measured(data("labelled.safetensors", 0, labels_), "labelled y");
  Words told = restore_words(y_values, {});
  told[2] = classes;
  check({{"classes of measurements", told, y_values + ": has no classes, which this model needs; use --class"}});
}

}  // namespace
}  // namespace ito
