// SPDX-License-Identifier: Apache-2.0
// Every solver with every operator that it fits: a captured loop does what an eager one does, and neither the batch nor
// the number of draws changes a bit. And what is refused, in which words.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/inverse/restoration.h"
#include "engine/reverse/reverse_process.h"
#include "kernels/random/host_normal.h"
#include "models/model_on_device.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/engine/program/time_in_every_call.h"
#include "tests/engine/reverse/model_with_weights.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

bool is_sim() {
  return std::strcmp(device_name(), "sim") == 0;
}

double normal(uint32_t stream, uint32_t index, uint32_t coordinate) {
  return host_normal(philox4x32(77, coordinate, stream, index, 0x50F7u), 0);
}

// A launch here is of a few numbers: threads beside other programs' would wait for each other.
class Solvers : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(is_sim() ? 0 : 1); }
  void TearDown() override { set_device_threads(0); }
};

// Sixteen numbers; measurements are draws of no model, which is as good for bits.
Json small_images() {
  Json ramp = Json::array(), chess = Json::array();
  for (int i = 0; i < 16; ++i) {
    ramp.push_back(0.5 * (i % 4) - 0.75);
    chess.push_back((i + i / 4) % 2 ? 0.5 : -0.5);
  }
  return {{"_class_name", "GaussianMixture"},
          {"shape", {1, 4, 4}},
          {"weights", {0.6, 0.4}},
          {"means", {ramp, chess}},
          {"variances", {0.04, 0.09}}};
}

// Options that keep walks of many calls short.
std::vector<std::string> short_walk(const Solver& solver) {
  std::vector<std::string> set;
  for (const SamplerOption& option : solver.options)
    for (const char* text : {"jump_length=2", "visits=2", "inner_steps=2", "travel_length=2", "travel_visits=2"})
      if (std::string_view(text).starts_with(std::string(option.key) + "=")) set.emplace_back(text);
  return set;
}

struct Fitting {
  const char* op;
  double noise;
};

// Every way an edit or a guidance can run: pixels, spectra, projections and conjugate gradients, what is not linear.
std::vector<Fitting> fittings() {
  std::vector<Fitting> some = {{"denoise", 0.1}, {"inpaint:random:0.5,3", 0}, {"blur-gaussian:0.7", 0.1}, {"hdr", 0.1}};
  if (!is_sim())  // whose threads are slow
    for (const Fitting& one : std::vector<Fitting>{{"inpaint:random:0.5,3", 0.1},
                                                   {"mri:2", 0.1},
                                                   {"phase", 0.1},
                                                   {"quantise:2", 0},
                                                   {"radon:3", 0.1},
                                                   {"pool:2", 0},
                                                   {"blur-gaussian:0.5+inpaint:box", 0.1}})
      some.push_back(one);
  return some;
}

TEST_F(Solvers, ABatchsDrawsDoNotKnowEachOtherNorHowTheyAreLaunched) {
  TempFolder folder;
  const ModelOnDevice loaded = load_model(folder.write("m.json", json_text(small_images())), 0, 0);
  const NoiseSchedule schedule(loaded.scheduler);
  constexpr int kMeasurements = 3, kFew = 5;
  for (const Solver* solver : solvers()) {
    int fitting = 0;
    for (const Fitting& fit : fittings()) {
      SCOPED_TRACE(testing::Message() << solver->name << " " << fit.op << " " << fit.noise);
      const auto restored = [&](int batch, int draws, bool capture) {
        const auto op = measurement_operator(fit.op, loaded.network.image);
        std::vector<float> y;
        for (uint32_t i = 0; i < kMeasurements * op->measurements(); ++i)
          y.push_back(static_cast<float>(0.5 * normal(4, i, 0)));
        Restoration restoration(
            loaded.network, nullptr, *op,
            restore_plan(*solver, schedule, {.steps = 4, .set = short_walk(*solver)}, *op, fit.noise),
            {.draws = draws, .batch = batch, .seed = 5, .capture = capture});
        std::vector<Restored> groups;
        for (int64_t first = 0; first < kMeasurements; first += restoration.group()) {
          const int64_t count = std::min<int64_t>(restoration.group(), kMeasurements - first);
          groups.push_back(restoration.restore(first, count, y.data() + first * op->measurements(), nullptr));
        }
        return groups;
      };
      if (!fits(*solver, *measurement_operator(fit.op, loaded.network.image), fit.noise)) continue;
      const std::vector<Restored> one = restored(1, kFew, false);
      ++fitting;
      const std::vector<Restored> three = restored(2 * kFew, kFew, true);
      std::vector<float> samples[2], means[2], deviations[2];
      for (int i = 0; i < 2; ++i)
        for (const Restored& part : i == 0 ? one : three) {
          samples[i].insert(samples[i].end(), part.samples.begin(), part.samples.end());
          means[i].insert(means[i].end(), part.mean.begin(), part.mean.end());
          deviations[i].insert(deviations[i].end(), part.deviation.begin(), part.deviation.end());
        }
      EXPECT_EQ(samples[0], samples[1]);
      EXPECT_EQ(means[0], means[1]);
      EXPECT_EQ(deviations[0], deviations[1]);
      for (size_t i = 0; i < 16; ++i) {
        double mean = 0, square = 0;
        for (size_t d = 0; d < kFew; ++d) mean += static_cast<double>(samples[0][d * 16 + i]) / kFew;
        for (size_t d = 0; d < kFew; ++d) square += std::pow(samples[0][d * 16 + i] - mean, 2) / (kFew - 1);
        EXPECT_NEAR(means[0][i], mean, 1e-6 * (1 + std::fabs(mean))) << i;
        EXPECT_NEAR(deviations[0][i], std::sqrt(square), 1e-6 * (1 + std::sqrt(square))) << i;
      }
      // Fewer draws are the first of more.
      const std::vector<Restored> fewer = restored(3, 2, true);
      for (size_t i = 0; i < 2 * 16; ++i) ASSERT_EQ(fewer[0].samples[i], samples[0][i]) << i;
    }
    EXPECT_GE(fitting, 1) << solver->name;
  }
}

// One number measured: conjugate gradients end with their first step, and more of them change nothing, if each pulls
// back through activations that stand.
TEST_F(Solvers, EveryPullBackHasTheNetworksActivations) {
  if (is_sim()) GTEST_SKIP() << "a network of many rows; the launches are the cpu's";
  Model model(R"({"in_channels": 1, "out_channels": 1})");
  const auto restored = [&](const std::string& solve_steps) {
    const auto op = measurement_operator("inpaint:random:0.001", model.network.image);
    SchedulerConfig config;
    Restoration restoration(
        model.network, model.weights.data(), *op,
        restore_plan(solver_named("pigdm"), NoiseSchedule(config),
                     {.steps = 2, .clip_sample = false, .set = {"covariance=tweedie", "solve_steps=" + solve_steps}},
                     *op, 0.5),
        {.seed = 5});
    const std::vector<float> y(static_cast<size_t>(op->measurements()), 0.25f);
    EXPECT_EQ(op->measurements(), 1);
    return restoration.restore(0, 1, y.data(), nullptr).samples;
  };
  const std::vector<float> few = restored("1"), many = restored("3");
  for (size_t i = 0; i < few.size(); ++i) ASSERT_NEAR(few[i], many[i], 1e-5 * (1 + std::fabs(few[i]))) << i;
}

// Once, before the first row, with the bits of every call's own: where the network is pulled back through too, where a
// row calls it several times, and where a walk climbs back to times it has been at.
TEST_F(Solvers, WhatDependsOnTheTimeAloneIsMadeOnce) {
  struct Walk {
    const char* solver;
    std::vector<std::string> set;
  };
  std::vector<Walk> walks = {{"ddrm", {}}};
  if (!is_sim()) {
    walks = {{"pigdm", {"covariance=tweedie", "solve_steps=2"}}};
    for (const Solver* solver : solvers()) walks.push_back({solver->name, short_walk(*solver)});
  }
  for (const Walk& walk : walks) {
    SCOPED_TRACE(walk.solver);
    const Solver& solver = solver_named(walk.solver);
    std::vector<float> samples[2];
    int64_t makings[2];
    for (const bool every : {false, true}) {
      Model model;
      if (every) model.network = time_in_every_call(model.network);
      const auto masked = measurement_operator("inpaint:random:0.5,3", model.network.image);
      const auto whole = measurement_operator("denoise", model.network.image);
      MeasurementOperator& op = fits(solver, *masked, 0.5) ? *masked : *whole;
      ASSERT_TRUE(fits(solver, op, 0.5));
      const std::vector<float> y(static_cast<size_t>(op.measurements()), 0.25f);
      Restoration restoration(model.network, model.weights.data(), op,
                              restore_plan(solver, NoiseSchedule({}),
                                           {.steps = is_sim() ? 2 : 4, .clip_sample = true, .set = walk.set}, op, 0.5),
                              {.seed = 5, .capture = false});
      makings[every] = makings_of_time([&] { samples[every] = restoration.restore(0, 1, y.data(), nullptr).samples; });
    }
    EXPECT_EQ(samples[0], samples[1]);
    EXPECT_EQ(makings[0], 0);
    EXPECT_GE(makings[1], 2);
  }
}

// Without guidance a step is DDIM's, with the noise that goes with the clipped estimate.
TEST_F(Solvers, StepsFollowAClippedEstimate) {
  Model model;
  const auto op = measurement_operator("denoise", model.network.image);
  const SchedulerConfig config;
  const NoiseSchedule schedule(config);
  Restoration restoration(model.network, model.weights.data(), *op,
                          restore_plan(solver_named("pigdm"), schedule,
                                       {.steps = 4, .clip_sample = true, .set = {"weight=0", "eta=1"}}, *op, 0.5),
                          {.seed = 5});
  const std::vector<float> y(static_cast<size_t>(op->measurements()), 0.0f);
  const ReverseTable table =
      sampling_table(sampler_named("ddim"), schedule,
                     {.steps = 4, .clip_sample = true, .set = {"eta=1", "use_clipped_model_output=true"}});
  ReverseSettings settings;
  settings.batch = 1, settings.seed = 5;
  const std::vector<float> plain =
      ReverseProcess(model.network, table, model.weights.data(), settings).all(0, 1, nullptr, nullptr).numbers;
  const std::vector<float> restored = restoration.restore(0, 1, y.data(), nullptr).samples;
  for (size_t i = 0; i < plain.size(); ++i) ASSERT_NEAR(restored[i], plain[i], 1e-5) << i;
}

TEST_F(Solvers, SayWhatTheyNeedAndWhatWouldDo) {
  const auto refused = [](const char* solver, const char* op, double noise, const std::vector<std::string>& set = {}) {
    return user_error([&] {
      const auto made = measurement_operator(op, {4, 4, 1});
      restore_plan(solver_named(solver), NoiseSchedule({}), {.set = set}, *made, noise);
    });
  };
  EXPECT_EQ(refused("repaint", "pool:2", 0.1).substr(0, 100),
            "solver repaint: needs a mask of the image's numbers (inpaint), which this operator does not have; us");
  EXPECT_NE(refused("stochastic-denoise", "inpaint:box", 0.1).find("use one of"), std::string::npos);
  EXPECT_NE(refused("stochastic-denoise", "denoise", 0).find("takes noise away"), std::string::npos);
  EXPECT_NE(refused("ddrn", "denoise", 0.1).find("did you mean"), std::string::npos);
  EXPECT_NE(refused("ddrm", "denoise", 0.1, {"etab=1"}).find("has no option"), std::string::npos);
  EXPECT_NE(refused("imputation", "denoise", 0.1, {"correct_steps=0.9"}).find("a whole number of 0 to 100"),
            std::string::npos);
  EXPECT_NE(refused("repaint", "inpaint:box", 0.1, {"jump_length=50"}).find("solver repaint: climbs of 50 steps"),
            std::string::npos);
  EXPECT_NE(refused("snips", "denoise", 0.1, {"inner_steps=100000"}).find("expected"), std::string::npos);
  EXPECT_NE(refused("ddrm", "denoise", 0.1, {"eta=2"}).find("expected 0 to 1"), std::string::npos);
  EXPECT_NE(refused("dps", "denoise", 0.1, {"learned_variance=true"}).find("variance_type learned_range"),
            std::string::npos);
  EXPECT_NE(refused("stochastic-denoise", "denoise", 0.001).find("below the model's least level"), std::string::npos);
}

}  // namespace
}  // namespace ito::test
