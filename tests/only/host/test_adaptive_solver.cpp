// SPDX-License-Identifier: Apache-2.0
// The adaptive solver on equations that are closures on the host: golden runs of the published controller, its order,
// images that do not know their neighbours, and what it says of those that do not come to an end.
#include "engine/reverse/adaptive_solver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "kernels/launch_point.h"

namespace ito::test {
namespace {

// f(t, y) of one number of one image.
using Rule = std::function<double(double t, double y, int image)>;

class HostSlope : public Slope {
 public:
  HostSlope(Rule rule, int extras) : rule_(std::move(rule)), extras_(extras) {}
  void launch(Stream& stream, const OdePoint& point) override {
    submit(stream, "slope of a test", [this, point] {
      for (int n = 0; n < point.n; ++n) {
        for (int64_t i = n * point.size; i < (n + 1) * point.size; ++i)
          point.slope[i] = static_cast<float>(rule_(point.t[n], point.y[i], n));
        for (int e = 0; e < extras_; ++e) point.extra[n * extras_ + e] = (e + 1) * point.t[n] * point.t[n];
      }
    });
  }

 private:
  Rule rule_;
  int extras_;
};

struct Solved {
  std::vector<float> y;
  std::vector<OdeImage> images;
  std::vector<double> extra;
};

struct Settings {
  double from, to, tolerance = 1e-5;
  int extras = 0;
  bool capture = true;
  int most_tries = 10000;
};

// y0 (n, size); first: the number of the first image.
Solved solve(const Rule& rule, const std::vector<float>& y0, int n, const Settings& s, int64_t first = 0) {
  Stream stream;
  BufferList buffers;
  HostSlope slope(rule, s.extras);
  AdaptiveSettings settings;
  settings.ode = {.from = s.from, .to = s.to, .rtol = s.tolerance, .atol = s.tolerance};
  settings.capture = s.capture;
  settings.most_tries = s.most_tries;
  AdaptiveSolver solver(slope, n, static_cast<int64_t>(y0.size()) / n, s.extras, settings, buffers);
  buffers.allocate();
  solver.prepare();
  Solved run;
  for (int again = 0; again < 2; ++again) {  // a solver may be run any number of times
    copy_to_device(stream, solver.y(), y0.data(), y0.size() * sizeof(float));
    solver.run(stream, first, n);
    run.y.resize(y0.size());
    copy_to_host(stream, run.y.data(), solver.y(), y0.size() * sizeof(float));
  }
  EXPECT_EQ(solver.thousandths(), 2000 * n);
  run.images = solver.images(stream);
  run.extra = solver.extra(stream);
  return run;
}

std::vector<float> golden_input() {
  std::vector<float> y(768);
  for (int i = 0; i < 768; ++i) y[i] = static_cast<float>(i / 768.0);
  return y;
}

double sum_of_magnitudes(const std::vector<float>& y) {
  double sum = 0;
  for (const float v : y) sum += std::fabs(v);
  return sum;
}

// The published controller in double gives these counts and sums. Ours rounds states and slopes to fp32.
TEST(AdaptiveSolver, GoldenProbabilityFlow) {
  const Rule rule = [](double t, double y, int) {
    const double beta = 0.1 + 19.9 * t, std = std::sqrt(1 - std::exp(-9.95 * t * t - 0.1 * t)), time = 999 * t;
    const double network = y * time / (time + 1) + 0.02 * std::sin(3 * y + 0.05 * time);
    return -beta / 2 * y + beta / 2 * network / std;
  };
  const Solved run = solve(rule, golden_input(), 1, {.from = 1, .to = 1e-3});
  EXPECT_EQ(run.images[0].evaluations, 104);
  EXPECT_EQ(run.images[0].accepted, 16);
  EXPECT_EQ(run.images[0].rejected, 1);
  EXPECT_NEAR(sum_of_magnitudes(run.y) / 198.578585, 1, 1e-6);
}

TEST(AdaptiveSolver, GoldenGrowth) {
  const Rule rule = [](double t, double y, int) { return std::cos(3 * t) * y + std::sin(y); };
  const Solved run = solve(rule, golden_input(), 1, {.from = 0, .to = 5});
  EXPECT_EQ(run.images[0].evaluations, 146);
  EXPECT_EQ(run.images[0].accepted, 19);
  EXPECT_EQ(run.images[0].rejected, 5);
  EXPECT_NEAR(sum_of_magnitudes(run.y) / 2663.46995, 1, 1e-6);
}

// With a tolerance that accepts anything the way is one step, as long as the first step's bound of 1 allows. Its error
// is c h^6 + O(h^7), the O 1/6 of it or less.
TEST(AdaptiveSolver, OneStepIsOfOrderFive) {
  const Rule rule = [](double, double y, int) { return -y; };
  double before = 0;
  for (const double h : {0.9, 0.45}) {
    const Solved run = solve(rule, {1}, 1, {.from = 0, .to = h, .tolerance = 1000});
    ASSERT_EQ(run.images[0].accepted, 1);
    ASSERT_EQ(run.images[0].evaluations, 8);
    const double error = run.y[0] - std::exp(-h);
    if (before != 0) {
      EXPECT_NEAR(std::log2(before / error), 6, 0.5);
    }
    before = error;
  }
}

// Its quadrature is exact for t^4, in either direction; and of the numbers beside the state in double.
TEST(AdaptiveSolver, PolynomialsAreExact) {
  const Rule rule = [](double t, double, int) { return 5 * t * t * t * t; };
  for (const bool back : {false, true}) {
    const double from = back ? 1.5 : -1, to = back ? -1 : 1.5;
    const Solved run = solve(rule, {0, 2}, 1, {.from = from, .to = to, .tolerance = 1e-4, .extras = 3});
    const double rise = std::pow(to, 5) - std::pow(from, 5);
    EXPECT_NEAR(run.y[0], rise, 5e-6);  // some 20 roundings of numbers up to 9
    EXPECT_NEAR(run.y[1], 2 + rise, 5e-6);
    for (int e = 0; e < 3; ++e) EXPECT_NEAR(run.extra[e], (e + 1) * (to * to * to - from * from * from) / 3, 1e-13);
    EXPECT_EQ(run.images[0].t, to);
    EXPECT_EQ(run.images[0].progress, OdeProgress::Arrived);
  }
}

// The numbers beside the state hold the step back as the state does: here the state alone would take a handful.
TEST(AdaptiveSolver, NumbersBesideTheStateAreHeldToTheTolerance) {
  const Rule still = [](double, double, int) { return 0.0; };
  const Solved alone = solve(still, {1}, 1, {.from = 0, .to = 1e3});
  const Solved beside = solve(still, {1}, 1, {.from = 0, .to = 1e3, .extras = 1});
  EXPECT_NEAR(beside.extra[0] / (1e9 / 3), 1, 1e-12);  // t^2 is integrated exactly
  EXPECT_EQ(alone.images[0].rejected, 0);
  EXPECT_EQ(alone.images[0].evaluations, beside.images[0].evaluations) << "an exact integral costs no step";
}

// The tighter the tolerance, the nearer the end, whatever an image's own time scale.
TEST(AdaptiveSolver, ErrorsFollowTheTolerance) {
  const double rates[] = {0.1, 3, 40};
  const Rule rule = [&](double t, double y, int image) { return -rates[image] * (y - std::sin(t)) + std::cos(t); };
  for (const double tolerance : {1e-3, 1e-5}) {
    const Solved run = solve(rule, {1, 1, 1}, 3, {.from = 0, .to = 3, .tolerance = tolerance});
    for (int i = 0; i < 3; ++i)
      EXPECT_NEAR(run.y[i], std::sin(3.0) + std::exp(-3 * rates[i]), 10 * tolerance + 1e-6) << rates[i];
    EXPECT_LT(run.images[0].evaluations, run.images[2].evaluations);
  }
}

TEST(AdaptiveSolver, AnImageDoesNotKnowItsBatch) {
  const int n = 5, size = 7;
  std::vector<float> y0(n * size);
  for (size_t i = 0; i < y0.size(); ++i) y0[i] = static_cast<float>(std::sin(1.7 * static_cast<double>(i)));
  const auto rule_from = [](int first) {
    return [first](double t, double y, int image) { return std::cos((1 + 3 * (first + image)) * t) * y + std::sin(y); };
  };
  const Settings settings = {.from = 0, .to = 4, .extras = 2};
  const Solved all = solve(rule_from(0), y0, n, settings);
  Settings eagerly = settings;
  eagerly.capture = false;
  EXPECT_EQ(solve(rule_from(0), y0, n, eagerly).y, all.y) << "launched anew";
  std::vector<int> counts;
  for (int i = 0; i < n; ++i) {
    const std::vector<float> own(y0.begin() + i * size, y0.begin() + (i + 1) * size);
    const Solved alone = solve(rule_from(i), own, 1, settings);
    EXPECT_EQ(alone.y, std::vector<float>(all.y.begin() + i * size, all.y.begin() + (i + 1) * size)) << i;
    EXPECT_EQ(alone.extra, std::vector<double>(all.extra.begin() + 2 * i, all.extra.begin() + 2 * i + 2)) << i;
    EXPECT_EQ(alone.images[0].evaluations, all.images[i].evaluations) << i;
    counts.push_back(alone.images[0].evaluations);
  }
  EXPECT_NE(counts.front(), counts.back()) << "they finish at different tries";
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(AdaptiveSolver, ImagesThatDoNotArriveAreNamed) {
  const Rule breaks = [](double t, double y, int image) { return image == 1 && t > 0.5 ? std::nan("") : -y; };
  const std::string stuck = message_of([&] { solve(breaks, {1, 1, 1}, 3, {.from = 0, .to = 1}, 40); });
  EXPECT_EQ(stuck.find("ode: image 41 came to a standstill at time 0."), 0u) << stuck;
  // y' = y^2 is infinite at t = 1.
  const Rule explodes = [](double, double y, int) { return y * y; };
  const std::string infinite = message_of([&] { solve(explodes, {1}, 1, {.from = 0, .to = 2}, 7); });
  EXPECT_EQ(infinite.find("ode: image 7 came to a standstill at time "), 0u) << infinite;
  const Rule turns = [](double t, double, int image) { return image == 2 ? std::sin(1e5 * t) * 1e4 : 0; };
  const std::string many = message_of([&] { solve(turns, {1, 1, 1}, 3, {.from = 0, .to = 10, .most_tries = 50}, 40); });
  EXPECT_EQ(many.find("ode: image 42 has come to time "), 0u) << many;
  EXPECT_NE(many.find("in 50 tries"), std::string::npos) << many;
}

}  // namespace
}  // namespace ito::test
