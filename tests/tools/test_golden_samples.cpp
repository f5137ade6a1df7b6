// SPDX-License-Identifier: Apache-2.0
// Published schedulers from outside: their configuration, their starting state and their noise as files, a network in
// closed form in the network's place, and the sum of the final state's sizes that the published code gave in double
// precision.
#include <cmath>

#include "tests/engine/samplers/golden_runs.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

using test::golden_input;
using test::golden_noise;
using test::kGoldenImages;
using test::kGoldenSize;

struct Golden {
  const char* name;
  const char* scheduler_class;  // without "Scheduler"
  Json keys;                    // beside linear betas from 1e-4 to 0.02
  int steps;
  const char* network;
  bool noise;  // or zeros, where the sampler draws any
  double sum;
  double tolerance = 2e-5;
  Words more = {};
};

const Json kV = {{"prediction_type", "v_prediction"}};

Json with(Json keys, const Json& more) {
  keys.update(more);
  return keys;
}

std::vector<Golden> golden_table() {
  const Json none = Json::object(), to_sigma_min = {{"final_sigmas_type", "sigma_min"}};
  const Json karras = {{"use_karras_sigmas", true}};
  const char* const multistep = "DPMSolverMultistep";
  return {
      {"ddpm-eps-1000-quiet", "DDPM", none, 1000, "A", false, 0.660935189, 3e-5},
      {"ddpm-eps-25", "DDPM", none, 25, "B", true, 106.952181},
      {"ddpm-large-cos-10",
       "DDPM",
       {{"beta_schedule", "squaredcos_cap_v2"}, {"variance_type", "fixed_large"}},
       10,
       "B",
       true,
       138.506539},
      {"ddim-eps", "DDIM", none, 10, "A", false, 172.006522},
      {"ddim-eps-offset1", "DDIM", {{"steps_offset", 1}, {"clip_sample", false}}, 10, "B", false, 175.970588},
      {"ddim-v-zerosnr-trailing-8", "DDIM",
       with(kV, {{"timestep_spacing", "trailing"}, {"rescale_betas_zero_snr", true}}), 8, "B", false, 39.0894638},
      {"ddim-eps-eta1", "DDIM", none, 10, "B", true, 218.841854, 2e-5, {"--set", "eta=1"}},
      {"ddim-abar0-final", "DDIM", {{"beta_start", 0.01}, {"set_alpha_to_one", false}}, 10, "A", false, 149.07843},
      {"lms4-linspace", "LMSDiscrete", none, 10, "B", false, 182.771368},
      {"lms4-karras-v", "LMSDiscrete", with(kV, karras), 10, "B", false, 62.7687058, 9e-5},
      {"deis2-eps", "DEISMultistep", none, 10, "A", false, 183.67619},
      {"deis3-eps-12", "DEISMultistep", {{"solver_order", 3}}, 12, "B", false, 187.259282},
      {"dpmpp-1-eps", multistep, {{"solver_order", 1}}, 10, "B", false, 166.881111},
      {"dpmpp-2m-eps-test", multistep, with(to_sigma_min, {{"lower_order_final", false}}), 10, "A", false, 253.552879,
       3e-5},
      {"dpmpp-2m-eps", multistep, none, 10, "B", false, 190.459774},
      {"dpmpp-2m-heun-v-20", multistep, with(kV, {{"solver_type", "heun"}}), 20, "B", false, 85.5755026},
      {"dpmpp-3m-eps-12", multistep, {{"solver_order", 3}}, 12, "B", false, 183.03},
      {"dpm-2m-eps-form", multistep, with(to_sigma_min, {{"algorithm_type", "dpmsolver"}}), 10, "B", false, 187.057224},
      {"dpmpp-2m-karras-16", multistep, karras, 16, "B", false, 218.200635},
      {"dpmpp-2m-sde", multistep, {{"algorithm_type", "sde-dpmsolver++"}}, 10, "B", true, 280.476979},
      {"unipc2-bh2-test", "UniPCMultistep", to_sigma_min, 10, "A", false, 189.231653},
      {"unipc3-bh2-12", "UniPCMultistep", {{"solver_order", 3}}, 12, "B", false, 186.733144},
      {"unipc2-bh1-v", "UniPCMultistep", with(with(kV, to_sigma_min), {{"solver_type", "bh1"}}), 10, "B", false,
       91.8652165},
      {"euler-linspace", "EulerDiscrete", none, 10, "B", false, 159.631747},
      {"euler-leading-v", "EulerDiscrete", with(kV, {{"timestep_spacing", "leading"}, {"steps_offset", 1}}), 10, "B",
       false, 57.6106249},
      {"euler-ancestral", "EulerAncestralDiscrete", none, 10, "B", true, 227.961339},
      {"heun-linspace", "HeunDiscrete", none, 10, "B", false, 247.167221},
      {"kdpm2-linspace", "KDPM2Discrete", none, 10, "B", false, 216.214241},
  };
}

class GoldenSamples : public testing::Test {
 protected:
  GoldenSamples() {
    for (const char* network : {"A", "B"})
      folder_.write(std::string(network) + ".json",
                    json_text({{"_class_name", "ToyNetwork"}, {"name", network}, {"shape", {3, 8, 8}}}));
    const std::vector<double> input = golden_input();
    SafetensorsWriter writer;
    writer.add("noise", {kGoldenImages, 3, 8, 8}, {input.begin(), input.end()});
    writer.write(folder_ / "input.safetensors");
  }

  std::string write_noise(const Golden& run) const {
    std::vector<float> noise;
    for (int draw = 0; draw < run.steps; ++draw)
      for (size_t i = 0; i < kGoldenImages * kGoldenSize; ++i)
        noise.push_back(run.noise ? static_cast<float>(golden_noise(i, draw)) : 0.0f);
    SafetensorsWriter writer;
    writer.add("noise", {run.steps, kGoldenImages, 3, 8, 8}, std::move(noise));
    writer.write(folder_ / "noise.safetensors");
    return folder_ / "noise.safetensors";
  }

  TempFolder folder_;
};

TEST_F(GoldenSamples, OfPublishedSchedulers) {
  double worst = 0;
  for (const Golden& run : golden_table()) {
    SCOPED_TRACE(run.name);
    const Json scheduler = with({{"_class_name", run.scheduler_class + std::string("Scheduler")},
                                 {"num_train_timesteps", 1000},
                                 {"beta_start", 1e-4},
                                 {"beta_end", 0.02},
                                 {"beta_schedule", "linear"}},
                                run.keys);
    Words words{"sample",
                "--checkpoint",
                folder_ / (std::string(run.network) + ".json"),
                "--scheduler",
                folder_.write("scheduler.json", json_text(scheduler)),
                "--out",
                folder_ / "out",
                "--raw",
                "--count",
                "4",
                "--batch",
                "3",
                "--steps",
                std::to_string(run.steps),
                "--initial-noise",
                folder_ / "input.safetensors"};
    if (run.noise || run.scheduler_class == std::string("DDPM"))
      words.insert(words.end(), {"--step-noise", write_noise(run)});
    words.insert(words.end(), run.more.begin(), run.more.end());
    const ChildResult result = run_ito(words);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    double sum = 0;
    for (const float value : SafetensorsFile::open(folder_ / "out/samples.safetensors").read_f32("samples"))
      sum += std::fabs(static_cast<double>(value));
    EXPECT_NEAR(sum / run.sum, 1, run.tolerance);
    worst = std::max(worst, std::fabs(sum / run.sum - 1) / run.tolerance);
  }
  RecordProperty("worst_in_tolerances", join_text(worst));
}

}  // namespace
}  // namespace ito
