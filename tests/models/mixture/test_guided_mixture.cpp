// SPDX-License-Identifier: Apache-2.0
// Guidance where its answer is known: a mixture whose components have classes. The guided answer against fp64, its
// pull-back against differences, and whole runs of samplers of several families against the same rows in double under
// the closed form. No sampler knows of it.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/program/denoiser.h"
#include "engine/program/guided_network.h"
#include "engine/reverse/predictor.h"
#include "engine/reverse/reverse_process.h"
#include "engine/samplers/sampler.h"
#include "kernels/random/host_normal.h"
#include "models/mixture/mixture_config.h"
#include "models/model_on_device.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

constexpr size_t kSize = 16;
using Numbers = std::vector<double>;

// Of the file's mixture, all of it and class by class.
class ClosedForm {
 public:
  explicit ClosedForm(const GuidanceWeight& weight) : weight_(weight) {
    const MixtureConfig config = mixture_config_from_json(images_of_two_classes(), "m.json", nullptr);
    for (const int label : {0, 1, 2}) {
      MixtureConfig part = config;
      part.weights.clear(), part.means.clear(), part.variances.clear(), part.classes.clear();
      for (size_t k = 0; k < config.weights.size(); ++k) {
        if (label < 2 && config.classes[k] != label) continue;
        part.weights.push_back(config.weights[k]);
        part.means.push_back(config.means[k]);
        part.variances.push_back(config.variances[k]);
      }
      of_label_.push_back(part.mixture());
    }
  }
  Numbers eps(const Numbers& x, int label, double alpha, double sigma, double time) const {
    Numbers main = of_label_[label].expected_eps(x, alpha, sigma);
    const Numbers other = of_label_[2].expected_eps(x, alpha, sigma);
    const double w = time >= weight_.from && time <= weight_.to ? static_cast<double>(weight_.weight) : 1;
    for (size_t j = 0; j < main.size(); ++j) main[j] += (w - 1) * (main[j] - other[j]);
    return main;
  }

 private:
  GuidanceWeight weight_;
  std::vector<GaussianMixture> of_label_;
};

class GuidedMixture : public ::testing::Test {
 protected:
  static constexpr int kImages = 3;
  Network with(const GuidanceWeight& weight) const { return guided(loaded.network, {.weight = weight, .guide = {}}); }
  std::vector<float> ask(const Network& network, int batch = 2) const {
    return predict(network, nullptr, DType::F32, batch, sample, times, labels, level);
  }
  Numbers image(size_t i) const { return {sample.begin() + i * kSize, sample.begin() + (i + 1) * kSize}; }

  TempFolder folder;
  ModelOnDevice loaded = load_model(folder.write("m.json", json_text(images_of_two_classes())), 0, 0);
  std::vector<float> level{0.9f, 0.44f, 0.6f, 0.8f, 0.1f, 0.995f}, times{30, 400, 900}, labels{0, 1, 0};
  std::vector<float> sample = [this] {
    const GaussianMixture mixture = mixture_config_from_json(three_images(), "m.json", nullptr).mixture();
    std::vector<float> x;
    for (uint32_t i = 0; i < kImages; ++i)
      for (const double value : mixture.sample(5, i)) x.push_back(static_cast<float>(0.7 * value));
    return x;
  }();
};

TEST_F(GuidedMixture, AnswersTheClosedForm) {
  EXPECT_EQ(loaded.network.classes, 3);
  EXPECT_EQ(with(always(2)).classes, 2) << "that of no class is none to be asked for";
  for (const GuidanceWeight& weight : {always(0), always(2.5f), GuidanceWeight{4, 100, 400}}) {
    const ClosedForm form(weight);
    const std::vector<float> eps = ask(with(weight));
    for (size_t i = 0; i < kImages; ++i) {
      const Numbers want = form.eps(image(i), static_cast<int>(labels[i]), level[2 * i], level[2 * i + 1], times[i]);
      // Two answers rounded to fp32, and the join: 2^-24 of each, three and four times.
      for (size_t j = 0; j < kSize; ++j)
        EXPECT_NEAR(eps[i * kSize + j], want[j], 1e-6 * (1 + std::fabs(want[j]))) << weight.weight << " " << i;
    }
    EXPECT_EQ(ask(with(weight), 1), eps) << "the same bits in every batch";
    EXPECT_EQ(ask(with(weight), 3), eps);
  }
  const std::vector<float> plain = ask(loaded.network);
  EXPECT_EQ(ask(with(always(1))), plain);
  const std::vector<float> once = ask(with({4, 100, 401}));  // holds for the second image alone
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(once[i] != plain[i], i / kSize == 1) << i;
  EXPECT_THROW(guided(load_model(folder.write("n.json", json_text(three_images())), 0, 0).network, {always(2), {}}),
               Error);
}

// J is symmetric: J u against differences of the closed form along u. The last image is outside the interval.
TEST_F(GuidedMixture, PullsBack) {
  const GuidanceWeight weight{2.5f, 0, 500};
  const ClosedForm form(weight);
  Stream stream;
  Denoiser denoiser(with(weight), kImages, DType::F32, Denoiser::Gradient::Input);
  denoiser.bind(nullptr);
  denoiser.pack(stream);
  const auto put = [&](void* to, const auto& values) {
    copy_to_device(stream, to, values.data(), values.size() * sizeof(values[0]));
  };
  put(denoiser.sample().data, sample);
  put(denoiser.level(), level);
  put(denoiser.timestep(), times);
  put(denoiser.labels().data, std::vector<int32_t>(labels.begin(), labels.end()));
  std::vector<float> along(sample.size()), pulled(sample.size());
  for (size_t i = 0; i < along.size(); ++i) along[i] = std::sin(0.7f * static_cast<float>(i) + 1);
  denoiser.evaluate(stream);
  put(denoiser.cotangent().data, along);
  denoiser.pull_back(stream);
  copy_to_host(stream, pulled.data(), denoiser.input_gradient().data, pulled.size() * sizeof(float));
  const double step = 1e-5;
  for (size_t i = 0; i < kImages; ++i) {
    Numbers above = image(i), below = above;
    for (size_t j = 0; j < kSize; ++j) above[j] += step * along[i * kSize + j], below[j] -= step * along[i * kSize + j];
    const auto at = [&](const Numbers& x) {
      return form.eps(x, static_cast<int>(labels[i]), level[2 * i], level[2 * i + 1], times[i]);
    };
    const Numbers high = at(above), low = at(below);
    for (size_t j = 0; j < kSize; ++j) {
      const double want = (high[j] - low[j]) / (2 * step);
      EXPECT_NEAR(pulled[i * kSize + j], want, 3e-6 * (1 + std::fabs(want))) << i << " " << j;
    }
  }
}

// The table's rows in double, from noise, for an image of the label.
Numbers run_in_double(const ReverseTable& table, const ClosedForm& form, uint64_t seed, uint32_t number, int label,
                      const Numbers& noise) {
  Numbers x = noise;
  for (double& v : x) v *= table.start_scale;
  std::vector<Numbers> registers(kRegisters, Numbers(kSize));
  double scale = table.first_input_scale;
  for (const RowOf<double>& row : table.exact) {
    Numbers seen = x;
    for (double& v : seen) v *= scale;
    const Numbers answer = form.eps(seen, label, scale * row.alpha, scale * row.sigma, row.timestep);
    for (uint32_t e = 0; e < kSize; ++e) {
      ref::RowInput in{.x = x[e], .pred = answer[e]};
      if (row.draw >= 0)
        in.z = host_normal(
            philox4x32(seed, e / 4, static_cast<uint32_t>(row.draw), number, purpose_word(Purpose::ReverseNoise)),
            static_cast<int>(e % 4));
      for (size_t r = 0; r < kRegisters; ++r) in.registers[r] = registers[r][e];
      const ref::RowOutput out = ref::reverse_element(row, in);
      for (int w = 0; w < row.writes; ++w) (row.to[w] == kState ? x : registers[row.to[w]])[e] = out.to[w];
    }
    scale = row.next_input_scale;
  }
  return x;
}

struct Walk {
  const char* sampler;
  Family family;
  GuidanceWeight weight;
};

TEST_F(GuidedMixture, SamplersOfAllKindsAreGuided) {
  set_device_threads(1);
  for (const Walk& run : {Walk{"ddim", Family::Vp, always(2)}, Walk{"ddpm", Family::Vp, {3, 200, 700}},
                          Walk{"dpm++2m", Family::Vp, always(3)}, Walk{"heun", Family::Ve, {2, 0.5f, 5}}}) {
    SCOPED_TRACE(run.sampler);
    SchedulerConfig config = loaded.scheduler;
    config.family = run.family;
    config.sigma_min = 0.01, config.sigma_max = 50;
    const ReverseTable table =
        sampling_table(sampler_named(run.sampler), NoiseSchedule(config), SamplingSettings{.steps = 8});
    std::vector<float> noise(kImages * kSize);
    for (uint32_t i = 0; i < noise.size(); ++i)
      noise[i] = static_cast<float>(host_normal(philox4x32(3, i, 0, 0, 0x0AC1Eu), 0));
    const int32_t classes[] = {0, 1, 0};
    const auto draw = [&](const Network& network, int batch) {
      ReverseSettings settings;
      settings.batch = batch;
      settings.seed = 11;
      return ReverseProcess(network, table, nullptr, settings).all(0, kImages, noise.data(), classes).numbers;
    };
    const Network network = with(run.weight);
    const std::vector<float> drawn = draw(network, kImages);
    EXPECT_EQ(draw(network, 1), drawn);
    const std::vector<float> plain = draw(loaded.network, kImages);
    EXPECT_EQ(draw(with(always(1)), kImages), plain);
    const ClosedForm form(run.weight), unguided(always(1));
    double apart = 0;
    for (uint32_t i = 0; i < kImages; ++i) {
      const Numbers start(noise.begin() + i * kSize, noise.begin() + (i + 1) * kSize);
      Numbers moved = start;
      for (size_t j = 0; j < kSize; ++j) moved[j] += j % 2 ? 1e-4 : -1e-4;
      const Numbers want = run_in_double(table, form, 11, i, classes[i], start),
                    near = run_in_double(table, form, 11, i, classes[i], moved),
                    without = run_in_double(table, unguided, 11, i, classes[i], start);
      // A row rounds the state and the answer to 2^-24 of numbers below 8 (the largest states begin at 50, in noise
      // that the rows divide away); what that comes to at the end is measured in double, on a start that is elsewhere.
      double growth = 1, most = 1;
      for (size_t j = 0; j < kSize; ++j) {
        growth = std::max(growth, std::fabs(near[j] - want[j]) / 1e-4);
        most = std::max(most, std::fabs(want[j]));
        apart = std::max(apart, std::fabs(want[j] - without[j]));
      }
      const double bound = static_cast<double>(table.exact.size()) * growth * 8 * most * 0x1p-24;
      EXPECT_LT(bound, 1e-3);
      for (size_t j = 0; j < kSize; ++j) EXPECT_NEAR(drawn[i * kSize + j], want[j], bound) << i << " " << j;
    }
    EXPECT_GT(apart, 0.1) << "guidance that leads nowhere";
  }
  set_device_threads(0);
}

}  // namespace
}  // namespace ito::test
