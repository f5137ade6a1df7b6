// SPDX-License-Identifier: Apache-2.0
// The adaptive solver's kernels, one at a time, against plain fp64 loops; whole runs are in
// tests/only/host/test_adaptive_solver.cpp.
#include "kernels/diffusion/ode.h"

#include "engine/program/device_buffer.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/ode.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

class OdeKernels : public ::testing::TestWithParam<int> {
 protected:
  static constexpr int kImages = 3, kExtras = 2;

  OdeKernels()
      : size_(GetParam()),
        count_(kImages * int64_t{size_}),
        y_(stored<float>(random_values(count_, 1))),
        slopes_(stored<float>(random_values(kOdeSlopes * count_, 2))),
        extra_(random_values(kImages * kExtras, 3)),
        extra_slopes_(random_values(kOdeSlopes * kImages * kExtras, 4)),
        y_device_(stream_, y_),
        trial_device_(stream_, count_),
        slopes_device_(stream_, slopes_),
        times_device_(stream_, kImages),
        extra_device_(stream_, extra_),
        extra_slopes_device_(stream_, extra_slopes_),
        images_device_(stream_, kImages) {}

  OdeData data() {
    return {.images = images_device_,
            .y = y_device_,
            .trial = trial_device_,
            .slopes = slopes_device_,
            .times = times_device_,
            .extra = extra_device_,
            .extra_slopes = extra_slopes_device_,
            .n = kImages,
            .size = size_,
            .extras = kExtras};
  }
  std::vector<OdeImage> images() {
    std::vector<OdeImage> images(kImages);
    copy_to_host(stream_, images.data(), static_cast<OdeImage*>(images_device_), kImages * sizeof(OdeImage));
    return images;
  }
  // Slopes of number i of the batch.
  std::vector<double> slopes_of(int64_t i) const {
    std::vector<double> k;
    for (int j = 0; j < kOdeSlopes; ++j) k.push_back(slopes_[j * count_ + i]);
    return k;
  }
  std::vector<double> extra_slopes_of(int i) const {
    std::vector<double> k;
    for (int j = 0; j < kOdeSlopes; ++j) k.push_back(extra_slopes_[j * kImages * kExtras + i]);
    return k;
  }
  static OdeImage at(double t, double step) {
    return {.t = t,
            .step = step,
            .goal = t + step,
            .wish = std::fabs(step),
            .progress = OdeProgress::Running,
            .rejected_before = 0,
            .evaluations = 2,
            .accepted = 0,
            .rejected = 0};
  }

  Stream stream_;
  int size_;
  int64_t count_;
  Values y_, slopes_, extra_, extra_slopes_;
  DeviceArray<float> y_device_, trial_device_, slopes_device_;
  DeviceArray<double> times_device_, extra_device_, extra_slopes_device_;
  DeviceArray<OdeImage> images_device_;
};

TEST_P(OdeKernels, StagesAreTheirSums) {
  std::vector<OdeImage> start = {at(1, -0.25), at(2, 0.5), at(-3, 1)};
  start[2].goal = start[2].t, start[2].step = 0;  // one that has arrived
  images_device_.upload_raw(start);
  for (int stage = 0; stage < kOdeSlopes; ++stage) {
    ode_stage(stream_, data(), stage);
    const Values trial = trial_device_.values(), times = times_device_.raw();
    for (int64_t i = 0; i < count_; ++i) {
      const OdeImage& image = start[i / size_];
      const double expected = ref::stage(stage, y_[i], image.step, slopes_of(i));
      ASSERT_NEAR(trial[i], expected, 1.01 * u * std::fabs(expected) + 1e-13) << "stage " << stage << " number " << i;
    }
    for (int n = 0; n < kImages; ++n)
      EXPECT_NEAR(times[n], start[n].t + ref::kStageTimes[stage] * start[n].step, 1e-15) << stage << " image " << n;
  }
}

TEST_P(OdeKernels, ControlAcceptsRejectsAndArrives) {
  // The tolerance lies between the images' errors: a short step, a long one, and one that ends the way.
  const OdeSettings settings = {.from = 0, .to = 5, .rtol = 1e-2, .atol = 1e-2};
  for (const bool before : {false, true}) {
    std::vector<OdeImage> start = {at(1, 1e-2), at(2, 2), at(4.99, 1e-2)};
    start[2].goal = 5;
    for (OdeImage& image : start) image.rejected_before = before;
    images_device_.upload_raw(start);
    y_device_.upload(y_), slopes_device_.upload(slopes_);
    extra_device_.upload(extra_), extra_slopes_device_.upload(extra_slopes_);
    ode_stage(stream_, data(), 6);
    const Values trial = trial_device_.values();
    ode_control(stream_, data(), settings);
    const std::vector<OdeImage> end = images();
    const Values y = y_device_.values(), slopes = slopes_device_.values(), extra = extra_device_.raw();
    for (int n = 0; n < kImages; ++n) {
      double sum = 0, extra_sum = 0;
      for (int64_t i = n * size_; i < (n + 1) * int64_t{size_}; ++i)
        sum += ref::scaled_square(y_[i], trial[i], start[n].step, slopes_of(i), 1e-2, 1e-2);
      Values extra_trial;
      for (int e = n * kExtras; e < (n + 1) * kExtras; ++e) {
        extra_trial.push_back(ref::stage(6, extra_[e], start[n].step, extra_slopes_of(e)));
        extra_sum += ref::scaled_square(extra_[e], extra_trial.back(), start[n].step, extra_slopes_of(e), 1e-2, 1e-2);
      }
      const double err = std::sqrt(std::max(sum / size_, extra_sum / kExtras));
      const bool accepted = err < 1;
      EXPECT_EQ(accepted, n != 1) << "the cases are not what they are meant to be: " << err;
      EXPECT_EQ(end[n].accepted, accepted ? 1 : 0);
      EXPECT_EQ(end[n].rejected, accepted ? 0 : 1);
      EXPECT_EQ(end[n].rejected_before, accepted ? 0 : 1);
      EXPECT_EQ(end[n].evaluations, 8);
      EXPECT_EQ(end[n].t, accepted ? start[n].goal : start[n].t);
      EXPECT_EQ(end[n].progress, n == 2 ? OdeProgress::Arrived : OdeProgress::Running);
      if (n == 2) {
        EXPECT_EQ(end[n].step, 0);
      }
      const double wish = start[n].wish * ref::step_factor(err, before);
      if (n != 2) {
        EXPECT_NEAR(end[n].wish, std::min(wish, 5 - end[n].t), 1e-11);
      }
      if (n != 2) {
        EXPECT_EQ(end[n].step, end[n].goal - end[n].t);
      }
      for (int64_t i = n * size_; i < (n + 1) * int64_t{size_}; ++i) {
        ASSERT_EQ(y[i], accepted ? trial[i] : y_[i]);
        ASSERT_EQ(slopes[i], accepted ? slopes_[6 * count_ + i] : slopes_[i]);
      }
      for (int e = 0; e < kExtras; ++e)
        EXPECT_NEAR(extra[n * kExtras + e], accepted ? extra_trial[e] : extra_[n * kExtras + e], 1e-13);
    }
    HostBuffer<int64_t> counts(2, "counts");
    ode_count(stream_, counts.data(), counts.data() + 1, data(), settings);
    stream_.synchronize();
    EXPECT_EQ(counts.data()[0], 2);
    EXPECT_EQ(counts.data()[1], 202 + 400 + 1000);
  }
}

TEST_P(OdeKernels, TheFirstStepIsGuessedFromTheSlopes) {
  for (const double to : {8.0, -8.0}) {
    const OdeSettings settings = {.from = 1, .to = to, .rtol = 1e-3, .atol = 1e-2};
    ode_begin(stream_, data(), settings);
    for (const double t : times_device_.raw()) EXPECT_EQ(t, 1);
    for (const double e : extra_device_.raw()) EXPECT_EQ(e, 0);
    ode_first_try(stream_, data(), settings);
    const std::vector<OdeImage> first = images();
    ode_first_step(stream_, data(), settings);
    const std::vector<OdeImage> second = images();
    for (int n = 0; n < kImages; ++n) {
      double d0 = 0, d1 = 0, d2 = 0;
      for (int64_t i = n * size_; i < (n + 1) * int64_t{size_}; ++i) {
        const double scale = 1e-2 + 1e-3 * std::fabs(y_[i]);
        d0 += std::pow(y_[i] / scale, 2) / size_;
        d1 += std::pow(slopes_[i] / scale, 2) / size_;
        d2 += std::pow((slopes_[count_ + i] - slopes_[i]) / scale, 2) / size_;
      }
      const double h0 = 0.01 * std::sqrt(d0) / std::sqrt(d1), way = to > 1 ? 1 : -1;
      EXPECT_NEAR(first[n].step, way * h0, 1e-12);
      const double h1 = std::pow(0.01 / std::max(std::sqrt(d1), std::sqrt(d2) / h0), 0.2);
      EXPECT_NEAR(second[n].step, way * std::min(100 * h0, h1), 1e-11);
      EXPECT_EQ(second[n].evaluations, 2);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, OdeKernels, ::testing::Values(1, 7, 64, 4099));

TEST(Ode, RefusesWhatItCannotRun) {
  Stream stream;
  OdeData nothing = {};
  EXPECT_THROW(ode_control(stream, nothing, {}), Error);
  DeviceArray<float> floats(stream, 7 * 4);
  DeviceArray<double> doubles(stream, 4);
  DeviceArray<OdeImage> images(stream, 1);
  OdeData data = {.images = images,
                  .y = floats,
                  .trial = floats,
                  .slopes = floats,
                  .times = doubles,
                  .extra = nullptr,
                  .extra_slopes = nullptr,
                  .n = 1,
                  .size = 4,
                  .extras = 0};
  EXPECT_THROW(ode_begin(stream, data, {.from = 1, .to = 1, .rtol = 1, .atol = 1}), Error) << "no way to go";
  EXPECT_THROW(ode_begin(stream, data, {.from = 1, .to = 2, .rtol = 0, .atol = 1}), Error) << "no tolerance";
  EXPECT_THROW(ode_stage(stream, data, 7), Error);
  data.extras = 1;
  EXPECT_THROW(ode_begin(stream, data, {.from = 1, .to = 2, .rtol = 1, .atol = 1}), Error) << "extras of no place";
}

}  // namespace
}  // namespace ito::test
