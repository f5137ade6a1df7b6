// SPDX-License-Identifier: Apache-2.0
// `ito likelihood` and `ito sample --sampler ode45` from outside: what they write, and what they refuse. That the
// numbers are right is shown where the density is a closed form (tests/only/host/test_ode_likelihood.cpp,
// tests/engine/likelihood/test_variational_bound.cpp).
#include <cmath>
#include <numbers>

#include "engine/io/layout.h"
#include "engine/io/safetensors.h"
#include "models/mixture/mixture_config.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

class LikelihoodCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    const ChildResult trained = run_ito(tiny_->train + Words{"--out", *tiny_ / "run", "--steps", "4"});
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
  }
  static void TearDownTestSuite() { delete tiny_; }
  static std::string path(const std::string& name) { return *tiny_ / name; }

  static Words words(const std::string& name, const Words& more = {}) {
    return Words{"likelihood", "--checkpoint", path("run"), "--data", tiny_->images, "--out", path(name), "--count",
                 "3",          "--rtol",       "1e-2",      "--atol", "1e-2"} +
           more;
  }
  static Words bound_words(const std::string& name, const Words& more = {}) {
    return Words{"likelihood", "--checkpoint", path("run"), "--data", tiny_->images, "--out", path(name),
                 "--method",   "vlb",          "--count",   "2"} +
           more;
  }
  static Json report(const std::string& name, const Words& more = {}) { return report_of(name, words(name, more)); }
  static Json bound(const std::string& name, const Words& more = {}) {
    return report_of(name, bound_words(name, more));
  }
  static Json report_of(const std::string& name, const Words& arguments) {
    const ChildResult result = run_ito(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    if (result.exit_code != 0) return {};
    for (const char* picture : {"/likelihood.svg", "/likelihood.png"})
      EXPECT_TRUE(std::filesystem::is_regular_file(path(name + picture))) << picture;
    return read_json_file(path(name + "/likelihood.json"));
  }

  static TinyRun* tiny_;
};
TinyRun* LikelihoodCommand::tiny_ = nullptr;

TEST_F(LikelihoodCommand, WritesItsReport) {
  const Json found = report("two", {"--probes", "2"});
  ASSERT_EQ(found["log_prob"].size(), 3u);
  double mean = 0;
  for (int i = 0; i < 3; ++i) {
    const double nats = found["log_prob"][i];
    ASSERT_TRUE(std::isfinite(nats));
    EXPECT_NEAR(found["bits_per_dim"][i].get<double>(), -nats / 64 / std::numbers::ln2, 1e-9);
    EXPECT_GT(found["log_prob_standard_error_of_probes"][i].get<double>(), 0);
    mean += nats / 3;
  }
  EXPECT_NEAR(found["mean"]["log_prob"].get<double>(), mean, 1e-9);
  EXPECT_GT(found["mean"]["log_prob_standard_error"].get<double>(), 0);
  EXPECT_EQ(found["probes"], 2);
  EXPECT_GE(found["solver"]["log_prob_error"].get<double>(), 0);
  EXPECT_EQ(found["solver"]["log_prob_error_points"], 3);
  EXPECT_GE(found["solver"]["evaluations_most"].get<double>(), found["solver"]["evaluations_mean"].get<double>());
  EXPECT_GT(found["end"]["normal_density_costs_bits_per_dim"].get<double>(), 0);
  EXPECT_LT(found["end"]["normal_density_costs_bits_per_dim"].get<double>(), 1e-4);
  // A point's number does not depend on its batch, and the probes belong to it.
  const Json later = report("later", {"--probes", "2", "--first", "2", "--count", "1", "--batch", "1"});
  EXPECT_EQ(later["log_prob"][0], found["log_prob"][2]);
  EXPECT_NE(report("seed", {"--probes", "2", "--seed", "9"})["log_prob"], found["log_prob"]);
}

TEST_F(LikelihoodCommand, ExactTraceAndDequantising) {
  const Json exact = report("exact", {"--trace", "exact", "--count", "1", "--rtol", "0.1", "--atol", "0.1"});
  EXPECT_FALSE(exact.contains("probes"));
  EXPECT_TRUE(std::isfinite(exact["log_prob"][0].get<double>()));
  // Of bytes: a probability is the density times the bins' widths, but for what moving within them does to a density
  // that knows no such detail.
  const double bins = 64 * std::log(2.0 / 255);
  const std::vector<double> density = report("none")["log_prob"];
  for (const char* kind : {"uniform", "truncated-normal"}) {
    const std::vector<double> probability = report(kind, {"--dequantise", kind})["log_prob"];
    for (size_t i = 0; i < density.size(); ++i) EXPECT_NEAR(probability[i], density[i] + bins, 100) << kind;
  }
}

// A mixture knows its own density, at the noisy end too: what the flow gives is log p of the points themselves.
TEST_F(LikelihoodCommand, OfAMixtureIsItsLogDensity) {
  const TempFolder folder;
  const std::string mixture = folder.write("m.json", json_text(test::three_images()));
  const GaussianMixture density = mixture_config_from_json(test::three_images(), "m.json", nullptr).mixture();
  const Json shape = test::three_images().at("shape");
  constexpr int kPoints = 6;
  std::vector<float> x;
  for (uint32_t i = 0; i < kPoints; ++i)
    for (const double value : density.sample(1, i)) x.push_back(static_cast<float>(value));
  const ImageShape image{shape[1], shape[2], shape[0]};
  SafetensorsWriter writer;
  writer.add("samples", {kPoints, image.channels, image.height, image.width}, to_planar(x, kPoints, image));
  writer.write(folder / "x.safetensors");
  const ChildResult result = run_ito({"likelihood", "--checkpoint", mixture, "--data", folder / "x.safetensors",
                                      "--trace", "exact", "--out", folder / "out"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json found = read_json_file(folder / "out/likelihood.json");
  EXPECT_EQ(found["end"]["density"], "exact");
  for (int i = 0; i < kPoints; ++i) {
    const std::vector<double> point(x.begin() + i * density.size(), x.begin() + (i + 1) * density.size());
    const double want = density.log_density(point, 1, 0);
    EXPECT_NEAR(found["exact_log_prob"][i].get<double>(), want, 1e-9);
    EXPECT_NEAR(found["log_prob"][i].get<double>(), want, 1e-3 * static_cast<double>(density.size())) << i;
  }
}

TEST_F(LikelihoodCommand, Refusals) {
  EXPECT_EQ(refusal(words("no", {"--method", "vbl"})),
            "ito: --method 'vbl': is not known; use one of 'ode', 'vlb', 'marginal'; did you mean 'vlb'?\n");
  EXPECT_EQ(refusal(words("no", {"--trace", "exakt"})),
            "ito: --trace 'exakt': is not known; use one of 'exact', 'hutchinson'; did you mean 'exact'?\n");
  EXPECT_EQ(refusal(words("no", {"--dequantise", "yes"})),
            "ito: --dequantise: dequantise 'yes' is not known; use one of 'none', 'uniform', 'truncated-normal'\n");
  EXPECT_EQ(refusal(words("no", {"--trace", "exact", "--probes", "4"})),
            "ito: --probes 4: an exact trace has none; leave the flag out\n");
  EXPECT_EQ(refusal(words("no", {"--first", "12"})).find("ito: --first 12: " + tiny_->images + " has points 0 to 11"),
            0u);
  EXPECT_EQ(refusal(words("no", {"--count", "13"})),
            "ito: --count 13: " + tiny_->images + " has 12 points from --first on\n");
  EXPECT_EQ(refusal(words("no", {"--rtol", "0"})), "ito: --rtol 0: expected 1e-07 to 1\n");
  const std::string absent = refusal(words("no", {"--data", path("nowhere")}));
  EXPECT_NE(absent.find("nowhere"), std::string::npos) << absent;
  const auto tensors = [&](const std::string& name, const char* tensor, const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    SafetensorsWriter writer;
    writer.add(tensor, shape, std::vector<float>(static_cast<size_t>(count), 0.25f));
    writer.write(path(name));
    return path(name);
  };
  const std::string other = tensors("other.safetensors", "images", {3, 1, 8, 8});
  EXPECT_EQ(refusal(words("no", {"--data", other})),
            "ito: " + other + ": has no tensor 'samples' of shape (N, C, H, W), so it is no data set\n");
  const std::string large = tensors("large.safetensors", "samples", {3, 1, 16, 16});
  EXPECT_EQ(refusal(words("no", {"--data", large})),
            "ito: " + large + ": samples are 16x16 floats, which are not resized; 8x8 was asked for\n");
  const std::string bare = tensors("bare.safetensors", "samples", {3, 1, 8, 8});
  EXPECT_EQ(refusal(words("no", {"--data", bare})),
            "ito: " + bare + ": has no labels, which this model needs; use --class\n");
  EXPECT_EQ(refusal(words("no", {"--data", bare, "--class", "1", "--dequantise", "uniform"})),
            "ito: " + bare + ": image 0 holds 0.25, which is no byte v / 127.5 - 1; only bytes are dequantised\n");
  EXPECT_FALSE(std::filesystem::exists(path("no")));
  EXPECT_EQ(report("given", {"--data", bare, "--class", "1"})["log_prob"].size(), 3u);
}

// A bound of bytes, term by term.
TEST_F(LikelihoodCommand, BoundsAreTablesOfTerms) {
  const Json found = bound("bound");
  EXPECT_EQ(found["method"], "vlb");
  EXPECT_EQ(found["reverse"], "posterior");
  EXPECT_EQ(found["decoder"], "bytes");
  EXPECT_EQ(found["numbers_per_point"], 64);
  const std::vector<double> log_prob = found["log_prob"], terms = found["terms"]["by_timestep"];
  ASSERT_EQ(log_prob.size(), 2u);
  ASSERT_EQ(terms.size(), 1000u);
  EXPECT_EQ(found["terms"]["by_timestep_standard_error"].size(), 1000u);
  EXPECT_EQ(found["terms"]["L_0"], terms[0]);
  double sum = found["terms"]["L_T"];
  for (const double term : terms) sum += term;
  const double bits = found["mean"]["bits_per_dim"];
  EXPECT_NEAR(sum, bits, 1e-9 * bits);
  EXPECT_NEAR(found["bits_per_dim"][1].get<double>(), -log_prob[1] / 64 / std::numbers::ln2, 1e-9 * bits);
  EXPECT_GT(bits, 0) << "no byte is certain";
  // A point's number does not depend on its batch, and the draws belong to it.
  EXPECT_EQ(bound("later", {"--first", "1", "--count", "1", "--batch", "7"})["log_prob"][0], log_prob[1]);
  EXPECT_NE(bound("seed", {"--seed", "9"})["log_prob"], found["log_prob"]);
  // With variances that training has measured, by either name.
  const Json marginal = bound("marginal", {"--method", "marginal"});
  EXPECT_EQ(marginal["reverse"], "marginal");
  EXPECT_NE(marginal["log_prob"], found["log_prob"]);
  EXPECT_EQ(bound("option", {"--reverse", "marginal"})["log_prob"], marginal["log_prob"]);
  EXPECT_NE(bound("density", {"--decoder", "density"})["terms"]["L_0"], found["terms"]["L_0"]);
  const ChildResult told = run_ito(bound_words("bound"));
  for (const char* part : {"log P of bytes at least ", " bits per dimension, mean of 2 points: L_T ",
                           ", sum of L_{t-1} ", ", L_0 ", "likelihood.json\n", "likelihood.svg\n"})
    EXPECT_NE(told.out.find(part), std::string::npos) << part << " in " << told.out;
}

// Of a mixture all three are of one density, which is known.
TEST_F(LikelihoodCommand, BoundsOfAMixture) {
  const TempFolder folder;
  const std::string mixture = folder.write("m.json", json_text(test::two_bumps()));
  const GaussianMixture density = mixture_config_from_json(test::two_bumps(), "m.json", nullptr).mixture();
  const auto write_points = [&](const char* name, uint64_t seed, int count) {
    std::vector<float> x;
    for (int i = 0; i < count; ++i)
      for (const double value : density.sample(seed, static_cast<uint32_t>(i))) x.push_back(static_cast<float>(value));
    SafetensorsWriter writer;
    writer.add("samples", {count, 2, 1, 1}, x);
    writer.write(folder / name);
    return folder / name;
  };
  const std::string points = write_points("x.safetensors", 1, 50), others = write_points("y.safetensors", 2, 200);
  const std::string measured = folder / "measured.json";
  const ChildResult measuring =
      run_ito({"reverse-stats", "--checkpoint", mixture, "--data", others, "--out", measured, "--per-timestep", "50"});
  ASSERT_EQ(measuring.exit_code, 0) << measuring.err;
  const auto judged = [&](const Words& more) {
    return Words{"likelihood", "--checkpoint", mixture, "--data", points, "--batch", "1000", "--out", folder / "out"} +
           more;
  };
  const auto mean = [&](const Words& more) {
    const ChildResult result = run_ito(judged(more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const Json report = read_json_file(folder / "out/likelihood.json");
    EXPECT_EQ(report.value("decoder", "density"), "density");
    double exact = 0;
    for (const double value : report["exact_log_prob"].get<std::vector<double>>()) exact += value / 50;
    return std::pair(report["mean"]["log_prob"].get<double>(), exact);
  };
  const auto [vlb, exact] = mean({"--method", "vlb"});
  const auto [marginal, same] = mean({"--method", "marginal", "--statistics", measured});
  EXPECT_EQ(exact, same);
  EXPECT_LT(vlb, marginal);
  EXPECT_LT(vlb, exact);
  EXPECT_NEAR(marginal, exact, 0.3);
  EXPECT_NEAR(mean({"--trace", "exact"}).first, exact, 1e-3);
  EXPECT_EQ(refusal(judged({"--method", "marginal"})),
            "ito: reverse option marginal: needs what was measured of the network by timestep, and the model has no "
            "level_statistics.json; measure it with reverse-stats\n");
  const ChildResult no_bytes = run_ito(judged({"--method", "vlb", "--decoder", "bytes"}));
  EXPECT_EQ(no_bytes.exit_code, 2);
  EXPECT_NE(no_bytes.err.find("\nito: " + points + ": point 0 holds "), std::string::npos) << no_bytes.err;
}

TEST_F(LikelihoodCommand, RefusalsOfBounds) {
  const auto of_ode = [](const char* flag, const char* says) {
    return join_text("ito: ", flag, ": says ", says,
                     ", which --method vlb does not ask; leave it out, or use --method ", "ode\n");
  };
  EXPECT_EQ(refusal(bound_words("no", {"--trace", "exact"})), of_ode("--trace", "how the flow's divergence is taken"));
  EXPECT_EQ(refusal(bound_words("no", {"--probes", "2"})),
            of_ode("--probes", "how many probes estimate the flow's divergence"));
  EXPECT_EQ(refusal(bound_words("no", {"--rtol", "1e-3"})), of_ode("--rtol", "how exactly the flow is followed"));
  EXPECT_EQ(refusal(bound_words("no", {"--atol", "1e-3"})), of_ode("--atol", "how exactly the flow is followed"));
  EXPECT_EQ(refusal(bound_words("no", {"--sampling-eps", "1e-3"})), of_ode("--sampling-eps", "where the flow ends"));
  EXPECT_EQ(refusal(bound_words("no", {"--dequantise", "none"})), of_ode("--dequantise", "how bytes get a density"));
  EXPECT_EQ(refusal(words("no", {"--decoder", "bytes"})),
            "ito: --decoder: says how the chain's last step is read, which --method ode does not ask; leave it out, or "
            "use --method vlb\n");
  EXPECT_EQ(refusal(bound_words("no", {"--method", "marginal", "--reverse", "posterior"})),
            "ito: --reverse: says how a step of the chain is modelled, which --method marginal does not ask; leave it "
            "out, or use --method vlb\n");
  EXPECT_EQ(refusal(bound_words("no", {"--decoder", "bites"})),
            "ito: --decoder 'bites': is not known; use one of 'bytes', 'density'; did you mean 'bytes'?\n");
  EXPECT_EQ(refusal(bound_words("no", {"--reverse", "margnal"})).find("ito: --reverse: reverse 'margnal' is not known"),
            0u);
  EXPECT_EQ(refusal(bound_words("no", {"--reverse", "direct"})),
            "ito: reverse option direct: needs a network of prediction_type mean, this one predicts epsilon; use "
            "another reverse option\n");
  EXPECT_EQ(refusal(bound_words("no", {"--statistics", "s.json"})),
            "ito: --statistics s.json: the reverse option posterior needs nothing measured; leave the flag out\n");
  SafetensorsWriter writer;
  std::vector<float> x(64, -1.0f);
  x[5] = 0.25f;
  writer.add("samples", {1, 1, 8, 8}, x);
  writer.write(path("between.safetensors"));
  EXPECT_EQ(refusal(bound_words("no", {"--data", path("between.safetensors"), "--class", "1", "--count", "1"})),
            "ito: " + path("between.safetensors") +
                ": point 0 holds 0.25, which is no byte 2 k / 255 - 1; use --decoder density\n");
  EXPECT_FALSE(std::filesystem::exists(path("no")));
  EXPECT_EQ(bound("given", {"--data", path("between.safetensors"), "--class", "1", "--count", "1", "--decoder",
                            "density"})["log_prob"]
                .size(),
            1u);
}

TEST_F(LikelihoodCommand, SamplesAlongTheSameFlow) {
  const auto sample = [&](const std::string& name, const Words& more) {
    return run_ito(Words{"sample", "--checkpoint", path("run"), "--out", path(name), "--count", "4", "--sampler",
                         "ode45", "--set", "rtol=1e-3", "--set", "atol=1e-3"} +
                   more);
  };
  const ChildResult drawn = sample("ode", {});
  EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
  EXPECT_NE(drawn.err.find("evaluations of the network an image: "), std::string::npos) << drawn.err;
  const SafetensorsFile file = SafetensorsFile::open(path("ode/samples.safetensors"));
  file.check_shape("samples", {4, 1, 8, 8});
  EXPECT_EQ(sample("by-one", {"--batch", "1", "--threads", "1"}).exit_code, 0);
  EXPECT_EQ(SafetensorsFile::open(path("by-one/samples.safetensors")).read_f32("samples"), file.read_f32("samples"));
  const ChildResult steps = sample("no", {"--steps", "20"});
  EXPECT_EQ(steps.exit_code, 2);
  EXPECT_EQ(steps.err,
            "ito: --steps 20: sampler ode45 chooses its own steps; leave the flag out, and set rtol and atol\n");
  EXPECT_EQ(sample("no", {"--strip"}).err,
            "ito: --strip: sampler ode45 has no steps that all images share; leave the flag out\n");
  EXPECT_EQ(sample("no", {"--profile-steps", "1:1"}).err,
            "ito: --profile-steps: sampler ode45 has no steps that all images share; leave the flag out\n");
  EXPECT_NE(run_ito({"sample", "--help"}).out.find("ode45: "), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path("no")));
}

}  // namespace
}  // namespace ito
