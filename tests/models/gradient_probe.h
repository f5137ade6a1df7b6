// SPDX-License-Identifier: Apache-2.0
// The derived backward of a whole network against finite differences of its own forward: every parameter tensor, and
// the input through a denoiser's pull-back.
//
// Loss L = sum cotangent * output in double, of an fp32 forward. Along a unit direction d of one tensor,
//   D(h) = (L(+h) - L(-h)) / 2h,   D = (4 D(h) - D(2h)) / 3,   expected: gradient . d.
// Rounding: a forward is some 40 layers deep and each leaves a few units u = 2^-24 of its values' size in them, errors
// that add up like a random walk: 32u of the output's elements, so L carries about kNoise |cotangent * output|_2 with
// kNoise = 32u, and D that, times 5/3 (its two differences' weights 4/3 and 1/6, two evaluations each), over h.
// Truncation: D(h) is off by about |D(h) - D(2h)| / 3, which the extrapolation removes but for terms of order h^4, of
// which the step from D at 2h to D at h shows fifteen times what is left. Allowed are that step or a quarter of |D(h) -
// D(2h)|, whichever is more: either may vanish by chance. h starts at a fraction of the tensor's own size and is halved
// until truncation is below rounding, where their sum is near its least. The test fails, too, where the sum comes to
// more than kSharp of the gradient's norm, since then it would show nothing.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/program/denoiser.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {

inline constexpr double kNoise = 32 * 0x1p-24;
inline constexpr double kSharp = 0.03;
inline constexpr int kImages = 2;

// A network whose loss can be evaluated at any weights and input.
class Probe {
 public:
  virtual ~Probe() = default;

  double loss(const std::vector<float>& at_weights, const std::vector<float>& at_sample) {
    device_weights_.upload(stream_, at_weights.data());
    put(place_.sample, at_sample);
    forward();
    std::vector<float> output(cotangent.size());
    copy_to_host(stream_, output.data(), place_.answer.data, output.size() * sizeof(float));
    double sum = 0, squares = 0;
    for (size_t i = 0; i < output.size(); ++i) {
      const double term = static_cast<double>(cotangent[i]) * static_cast<double>(output[i]);
      sum += term;
      squares += term * term;
    }
    noise = kNoise * std::sqrt(squares);
    return sum;
  }

  // At the weights and the sample that it began with.
  std::vector<float> gradient() {
    loss(weights, sample);
    put(place_.cotangent, cotangent);
    return backward();
  }

  std::vector<float> weights, sample, cotangent;
  double noise = 0;  // of the last loss

 protected:
  struct Place {
    DataRef sample, timestep, labels, cotangent;
    ConstDataRef answer;
  };

  explicit Probe(const Network& network) : weights(busy_weights(parameters_of(network), 17)), network_(network) {
    device_weights_ = {weights.size(), "weights"};
    sample = draws(kImages * network.image.size(), 3, 1.5f);
    cotangent = draws(kImages * network.image.pixels() * network.out_channels, 4);
  }
  void begin(const Place& place) {
    place_ = place;
    put(place.timestep, {3.0f, 617.0f});
    if (network_.labels == LabelKind::Index) {
      const int32_t labels[kImages] = {2, 0};
      copy_to_device(stream_, place.labels.as<int32_t>(), labels, sizeof(labels));
    } else if (network_.labels == LabelKind::Value) {
      put(place.labels, draws(kImages * network_.label_width, 5, 300.0f));
    }
  }
  virtual void forward() = 0;  // packs the weights anew
  virtual std::vector<float> backward() = 0;

  Stream stream_;
  DeviceBuffer<float> device_weights_;

 private:
  void put(DataRef to, const std::vector<float>& values) {
    copy_to_device(stream_, to.as<float>(), values.data(), values.size() * sizeof(float));
  }

  Network network_;
  Place place_;
};

// By the gradients of the parameters.
class TrainingProbe : public Probe {
 public:
  explicit TrainingProbe(const Network& network) : Probe(network), program_({kImages, Mode::Training, DType::F32}) {
    const NetworkInputs inputs = plan_network(program_, network);
    gradients_ = {weights.size(), "gradients"};
    gradients_.zero(stream_);  // the padding between tensors
    program_.bind(device_weights_.data(), gradients_.data());
    SampleCounter counter;
    counter.seed = 21;  // the same dropout masks in every evaluation
    program_.set_counter(counter);
    begin({program_.data(inputs.sample), program_.data(inputs.timestep),
           inputs.labels ? program_.data(inputs.labels) : DataRef(), program_.gradient(program_.output()),
           program_.data(program_.output())});
  }
  const ParameterLayout& layout() const { return program_.layout(); }

 private:
  void forward() override {
    program_.pack(stream_);
    program_.forward(stream_);
  }
  std::vector<float> backward() override {
    program_.backward(stream_);
    std::vector<float> out(gradients_.count());
    gradients_.download(stream_, out.data());
    return out;
  }

  Program program_;
  DeviceBuffer<float> gradients_;
};

// By the pull-back to the input.
class InputProbe : public Probe {
 public:
  explicit InputProbe(const Network& network)
      : Probe(network), denoiser_(network, kImages, DType::F32, Denoiser::Gradient::Input) {
    denoiser_.bind(device_weights_.data());
    begin(
        {denoiser_.sample(), denoiser_.timestep(), denoiser_.labels(), denoiser_.cotangent(), denoiser_.prediction()});
  }

 private:
  void forward() override {
    denoiser_.pack(stream_);
    denoiser_.evaluate(stream_);
  }
  std::vector<float> backward() override {
    denoiser_.pull_back(stream_);
    std::vector<float> out(sample.size());
    copy_to_host(stream_, out.data(), denoiser_.input_gradient().as<float>(), out.size() * sizeof(float));
    return out;
  }

  Denoiser denoiser_;
};

inline double norm_of(const std::vector<float>& v) {
  double sum = 0;
  for (float x : v) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum);
}

// A part of the arenas: one tensor, or all of them.
struct Slice {
  std::string name;
  int64_t offset, count;
};

inline bool in_sim() {
  return std::string(device_name()) == "sim";
}

inline bool on_gpu() {
  return !in_sim() && std::string(device_name()) != "cpu";
}

// sim is a hundred times slower, and the tensors one by one are shown on the cpu, so there it is all of them at once.
inline std::vector<Slice> slices_of(const ParameterLayout& layout) {
  if (in_sim()) return {{"all parameters", 0, layout.trainable_floats()}};
  std::vector<Slice> slices;
  for (const Parameter& p : layout.all())
    if (p.trainable) slices.push_back({p.name, p.offset, p.count()});
  return slices;
}

// Directions: 0, along the gradient itself (a wrong size, a wrong sign); then the gradient and its typical size mixed
// with random signs (wrong elements, also where the gradient is zero by mistake).
inline std::vector<float> direction_of(const std::vector<float>& gradient, int number, uint32_t tensor) {
  const double norm = norm_of(gradient), typical = norm / std::sqrt(static_cast<double>(gradient.size()));
  std::vector<float> d(gradient);
  if (number > 0 || norm == 0)
    for (size_t i = 0; i < d.size(); ++i) {
      const float sign = draw(100 + static_cast<uint64_t>(number), tensor, static_cast<uint32_t>(i)) < 0 ? -1.0f : 1.0f;
      d[i] = sign * (std::fabs(gradient[i]) + (norm > 0 ? static_cast<float>(typical) : 1.0f));
    }
  const float scale = static_cast<float>(1 / norm_of(d));
  for (float& x : d) x *= scale;
  return d;
}

// loss(step): at origin + step * direction. h: where the search for the step starts.
inline void expect_directional(const std::string& what, const std::function<double(double)>& loss, const double& noise,
                               double expected, double gradient_norm, double h, bool zero_gradient) {
  constexpr int kHalvings = 8;
  const auto central = [&](double step) { return (loss(step) - loss(-step)) / (2 * step); };
  double four = central(4 * h), two = central(2 * h), one = central(h), found = 0, allowed = 0;
  for (int i = 0; i <= kHalvings; ++i) {
    found = (4 * one - two) / 3;
    const double rounding = 5.0 / 3 * noise / h;
    const double truncation = std::max(std::fabs(found - (4 * two - four) / 3), 0.25 * std::fabs(one - two));
    allowed = rounding + truncation;
    if (truncation <= rounding) break;
    h /= 2;
    four = two;
    two = one;
    one = central(h);
  }
  EXPECT_NEAR(found, expected, allowed) << what << ": gradient norm " << gradient_norm << ", last step " << h;
  if (zero_gradient)
    EXPECT_LT(gradient_norm, allowed) << what;
  else
    EXPECT_LT(allowed, kSharp * gradient_norm) << what << ": too coarse to show anything";
}

// Exactly zero by construction: a constant added to every key changes no softmax, unless keys are normalised first.
inline bool has_zero_gradient(const ParameterLayout& layout, const std::string& name) {
  const std::string last = "to_k.bias";
  return name.ends_with(last) && !layout.has(name.substr(0, name.size() - last.size()) + "k_norm.weight");
}

// The numbers of the directions that are tried.
struct Directions {
  int first, last;
};

inline void check_parameters(const std::string& what, const Network& network, const Directions& directions) {
  TrainingProbe probe(network);
  const std::vector<float> all = probe.gradient();
  uint32_t index = 0;
  for (const Slice& p : slices_of(probe.layout())) {
    ++index;
    const auto slice = [&](const std::vector<float>& v) {
      return std::vector<float>(v.begin() + p.offset, v.begin() + p.offset + p.count);
    };
    const std::vector<float> gradient = slice(all);
    const double size = norm_of(slice(probe.weights));
    for (int number = directions.first; number <= directions.last; ++number) {
      const std::vector<float> d = direction_of(gradient, number, index);
      double expected = 0;
      for (size_t i = 0; i < d.size(); ++i) expected += static_cast<double>(d[i]) * static_cast<double>(gradient[i]);
      const auto loss = [&](double step) {
        std::vector<float> moved = probe.weights;
        for (size_t i = 0; i < d.size(); ++i) moved[p.offset + i] += static_cast<float>(step) * d[i];
        return probe.loss(moved, probe.sample);
      };
      expect_directional(join_text(what, " ", p.name), loss, probe.noise, expected, norm_of(gradient),
                         (in_sim() ? 0.004 : 0.1) * size, has_zero_gradient(probe.layout(), p.name));
    }
  }
}

inline void check_input(const std::string& what, const Network& network, int directions) {
  InputProbe probe(network);
  const std::vector<float> gradient = probe.gradient();
  for (int number = 0; number < directions; ++number) {
    const std::vector<float> d = direction_of(gradient, number, 0);
    double expected = 0;
    for (size_t i = 0; i < d.size(); ++i) expected += static_cast<double>(d[i]) * static_cast<double>(gradient[i]);
    const auto loss = [&](double step) {
      std::vector<float> moved = probe.sample;
      for (size_t i = 0; i < d.size(); ++i) moved[i] += static_cast<float>(step) * d[i];
      return probe.loss(probe.weights, moved);
    };
    expect_directional(join_text(what, " input"), loss, probe.noise, expected, norm_of(gradient),
                       0.03 * norm_of(probe.sample), false);
  }
}

}  // namespace ito::test
