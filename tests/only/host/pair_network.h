// SPDX-License-Identifier: Apache-2.0
// The exact eps of Gaussian data in which neighbouring numbers a, b belong together: (a + b) / sqrt 2 has the variance
// `sum`, (a - b) / sqrt 2 the variance `difference`. With both alike it is isotropic data. The flow, its Jacobian and
// log p are closed forms:
//   eps of a part of variance v = sigma x / (alpha^2 v + sigma^2)
// A network of real-valued labels has data of such a mean in every number: x - alpha mean in the place of x. A closure
// on the host, for executors there.
#pragma once
#include <cmath>
#include <memory>
#include <numbers>

#include "engine/diffusion/levels.h"
#include "engine/program/network.h"
#include "kernels/launch_point.h"

namespace ito::test {

struct PairVariances {
  double sum, difference;
};

class PairOp : public Op {
 public:
  PairOp(const Levels& levels, PairVariances variances, int n, int64_t size)
      : levels_(levels), variances_(variances), n_(n), size_(size) {}
  const char* kind() const override { return "pairs"; }
  void forward(Stream& stream, const OpData& data) override {
    run(stream, data.out(0).as<float>(), data.in(0).as<float>(), data.in(1).as<float>(),
        inputs.size() > 2 ? data.in(2).as<float>() : nullptr);
  }
  // The Jacobian is symmetric, and knows no mean.
  void backward(Stream& stream, const OpData& data) override {
    run(stream, data.din(0).as<float>(), data.dout(0).as<float>(), data.in(1).as<float>(), nullptr);
  }

 private:
  void run(Stream& stream, float* out, const float* in, const float* timestep, const float* means) {
    submit(stream, "pairs", [this, out, in, timestep, means] {
      for (int n = 0; n < n_; ++n) {
        const Level level = levels_.at(timestep[n]);
        const auto factor = [&](double variance) {
          return level.sigma / (level.alpha * level.alpha * variance + level.sigma * level.sigma);
        };
        const double sum = factor(variances_.sum), difference = factor(variances_.difference);
        for (int64_t i = n * size_; i + 1 < (n + 1) * size_; i += 2) {
          const double mean = means ? level.alpha * means[n] : 0;
          const double plus = sum * (in[i] + in[i + 1] - 2 * mean) / 2, minus = difference * (in[i] - in[i + 1]) / 2;
          out[i] = static_cast<float>(plus + minus);
          out[i + 1] = static_cast<float>(plus - minus);
        }
      }
    });
  }

  Levels levels_;
  PairVariances variances_;
  int n_;
  int64_t size_;
};

inline Network pair_network(const SchedulerConfig& config, PairVariances variances, const ImageShape& image,
                            LabelKind labels = LabelKind::None) {
  const Levels levels{NoiseSchedule(config)};
  Network network;
  network.image = image;
  network.out_channels = image.channels;
  network.labels = labels;
  network.append = [levels, variances, image](Program& program, const NetworkInputs& inputs) {
    OpSpec spec{"pairs", {inputs.sample, inputs.timestep}, program.info(inputs.sample)};
    if (inputs.labels) spec.inputs.push_back(inputs.labels);
    spec.saved = {inputs.timestep};
    return program.add(std::make_unique<PairOp>(levels, variances, program.options().n, image.size()), std::move(spec));
  };
  return network;
}

// Of the data with noise of variance `noise` added.
inline double pair_log_density(const float* x, int64_t size, PairVariances variances, double noise) {
  double sum = 0;
  const auto add = [&](double y, double variance) {
    sum -= y * y / (2 * variance) + 0.5 * std::log(2 * std::numbers::pi * variance);
  };
  for (int64_t i = 0; i + 1 < size; i += 2) {
    add((x[i] + x[i + 1]) / std::numbers::sqrt2, variances.sum + noise);
    add((x[i] - x[i + 1]) / std::numbers::sqrt2, variances.difference + noise);
  }
  return sum;
}

}  // namespace ito::test
