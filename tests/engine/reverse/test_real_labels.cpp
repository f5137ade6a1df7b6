// SPDX-License-Identifier: Apache-2.0
// Real-valued labels wherever a network is asked: a row that is added to the time's is what a table of classes has at
// the class, so that a network told rows answers with the bits of one told classes, image by image.
#include <gtest/gtest.h>

#include "engine/inverse/restoration.h"
#include "engine/likelihood/ode_likelihood.h"
#include "engine/likelihood/reverse_statistics.h"
#include "engine/likelihood/variational_bound.h"
#include "engine/program/guided_network.h"
#include "engine/reverse/reverse_process.h"
#include "tests/engine/reverse/model_with_weights.h"

namespace ito::test {
namespace {

constexpr int kImages = 3;
using Floats = std::vector<float>;

SchedulerConfig few_timesteps() {
  SchedulerConfig config;
  config.num_train_timesteps = 8;
  config.clip_sample = false;
  return config;
}

// Two networks of the same weights: one is told classes 0, 2, 1, the other the rows that the table has for them.
class RealLabels : public ::testing::Test {
 protected:
  RealLabels() {
    const ParameterLayout with_table = parameters_of(classes_.network), layout = parameters_of(rows_);
    Floats all(static_cast<size_t>(with_table.arena_floats())), own(static_cast<size_t>(layout.arena_floats()));
    classes_.weights.download(classes_.stream, all.data());
    for (const Parameter& p : layout.all())
      std::copy_n(all.begin() + with_table.find(p.name).offset, p.count(), own.begin() + p.offset);
    weights_.upload(classes_.stream, own.data());
    const int64_t table = with_table.find("class_embedding.weight").offset;
    for (const int32_t label : numbers_.classes) {
      const auto row = all.begin() + table + label * rows_.label_width;
      values_.values.insert(values_.values.end(), row, row + rows_.label_width);
    }
  }
  void SetUp() override { set_device_threads(1); }  // the networks are too small for more
  void TearDown() override { set_device_threads(0); }
  // answer(network, weights, labels), of both networks; true if the labels matter.
  template <class Answer>
  void check(const Answer& answer) {
    const auto want = answer(classes_.network, classes_.weights.data(), numbers_);
    EXPECT_EQ(answer(rows_, weights_.data(), values_), want);
    EXPECT_NE(answer(classes_.network, classes_.weights.data(), std::vector<int32_t>{1, 2, 0}), want);
  }

  Model classes_{R"({"num_class_embeds": 3})"};
  Network rows_ = tiny_network(R"({"class_embed_type": "identity"})");
  DeviceBuffer<float> weights_{static_cast<size_t>(parameters_of(rows_).arena_floats()), "weights"};
  Labels numbers_{std::vector<int32_t>{0, 2, 1}}, values_;
  Floats images_ = draws(static_cast<size_t>(kImages * rows_.image.size()), 3);
};

TEST_F(RealLabels, OfRestoredImages) {
  const auto op = measurement_operator("inpaint:random:0.5,3", rows_.image);
  const Floats y = draws(static_cast<size_t>(kImages * op->measurements()), 4);
  for (const int batch : {2, 6})  // a measurement's two draws, or all draws
    check([&](const Network& network, const float* weights, const Labels& labels) {
      Restoration restoration(
          network, weights, *op,
          restore_plan(solver_named("pigdm"), NoiseSchedule(few_timesteps()), {.steps = 2}, *op, 0.1),
          {.draws = 2, .batch = batch, .seed = 5});
      Floats all;
      for (int64_t first = 0; first < kImages; first += restoration.group()) {
        const Restored part = restoration.restore(first, restoration.group(), y.data() + first * op->measurements(),
                                                  labels.rows().from(first, network.label_width));
        all.insert(all.end(), part.samples.begin(), part.samples.end());
      }
      return all;
    });
}

TEST_F(RealLabels, OfBounds) {
  const NoiseSchedule schedule(few_timesteps());
  const std::vector<VariationalRow> rows = variational_rows({.levels = Levels(schedule),
                                                             .config = few_timesteps(),
                                                             .reverse = reverse_option_named("posterior", ""),
                                                             .statistics = nullptr,
                                                             .last = BoundTerm::Density,
                                                             .clip = true});
  check([&](const Network& network, const float* weights, const Labels& labels) {
    return measure_bound(network, weights, schedule, rows, images_, labels, {.batch = 5}).between;
  });
}

TEST_F(RealLabels, OfReverseStatistics) {
  check([&](const Network& network, const float* weights, const Labels& labels) {
    return measure_reverse_statistics(network, weights, NoiseSchedule(few_timesteps()), images_, labels,
                                      {.batch = 5, .per_timestep = 2})
        .error;
  });
}

TEST_F(RealLabels, OfLikelihoods) {
  SchedulerConfig config;
  config.family = Family::VpSde;
  const Levels levels{NoiseSchedule(config)};
  const ProbabilityFlow flow =
      probability_flow(levels, Reading::of(config), levels.at(levels.steps() - 1), levels.at(0));
  check([&](const Network& network, const float* weights, const Labels& labels) {
    LikelihoodSettings settings;
    settings.rtol = settings.atol = 1;
    settings.batch = 2;  // the last is filled up
    std::vector<double> nats;
    for (const LogDensity& density :
         OdeLikelihood(network, flow, weights, settings).all(0, kImages, images_.data(), labels.rows()))
      nats.push_back(density.value);
    return nats;
  });
}

// Led away from a worse network that is told the same.
TEST_F(RealLabels, OfAGuide) {
  const ReverseTable table = tiny_table("ddim", 3);
  check([&](const Network& network, const float* weights, const Labels& labels) {
    const Network both = guided(network, {.weight = always(1.5f), .guide = network});
    const ParameterLayout layout = parameters_of(both), own = parameters_of(network);
    Floats one(static_cast<size_t>(own.arena_floats())), two(static_cast<size_t>(layout.arena_floats()));
    copy_to_host(classes_.stream, one.data(), weights, one.size() * sizeof(float));
    for (const Parameter& p : own.all())
      for (const char* prefix : {"", kGuidePrefix})
        for (int64_t i = 0; i < p.count(); ++i)
          two[layout.find(prefix + p.name).offset + i] =
              one[p.offset + i] * (*prefix && p.name != "class_embedding.weight" ? 0.9f : 1.0f);
    DeviceBuffer<float> arena(two.size(), "weights");
    arena.upload(classes_.stream, two.data());
    return ReverseProcess(both, table, arena.data(), {.batch = 2, .seed = 7})
        .all(0, kImages, nullptr, labels.rows())
        .numbers;
  });
}

}  // namespace
}  // namespace ito::test
