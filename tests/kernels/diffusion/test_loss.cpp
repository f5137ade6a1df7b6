// SPDX-License-Identifier: Apache-2.0
// The loss and its gradient against fp64, for every prediction; the noise it draws again is noising's bit for bit.
#include "kernels/diffusion/loss.h"

#include "tests/cases/pointwise.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;
constexpr double kNormalError = 5.77 * (3e-7 + 4 * u);  // of one fp32 normal; see test_sample_noise.cpp

template <class T>
class Loss : public ::testing::Test {
 protected:
  Stream stream;
  const Values signal = stored<float>({0.999, 0.7, 0.01}), noise = stored<float>({0.04, 0.71, 0.99995});
  const Values weight = stored<float>({0.5, 1.25, 3}), t = {2, 0, 1};
  DeviceArray<float> device_signal{stream, signal}, device_noise{stream, noise}, device_weight{stream, weight};
  DeviceArray<int32_t> device_t{stream, t};
  const NoiseTables tables{device_signal, device_noise, 3};
};
TYPED_TEST_SUITE(Loss, StorageTypes);

// An error e = pred - target is off by the normal's error (times at most 1) and a few u of its terms; a square by twice
// that times |e|; the mean and the last rounding by a few u.
TYPED_TEST(Loss, MatchesFp64) {
  using T = TypeParam;
  const int n = 3, batch = 5;
  for (int64_t row : cases::kImageElements) {
    SampleCounter counter;
    counter.seed = 4, counter.first = 19;
    ref::LossCase s;
    s.x0 = stored<float>(random_values(n * row, 1));
    s.eps = ref::normals(4, 0, 19, purpose_word(Purpose::Noise), n, row);
    s.row = row, s.batch = batch;
    for (double step : this->t) {
      s.signal.push_back(this->signal[static_cast<size_t>(step)]);
      s.noise.push_back(this->noise[static_cast<size_t>(step)]);
    }
    const Values pred = stored<T>(random_values(n * row, 2));
    DeviceArray<float> x0(this->stream, s.x0), loss(this->stream, n), plain(this->stream, n), alone(this->stream, 1);
    DeviceArray<T> device_pred(this->stream, pred), dpred(this->stream, n * row), one(this->stream, row);
    for (const Prediction prediction : {Prediction::Epsilon, Prediction::Sample, Prediction::V}) {
      s.prediction = prediction;
      s.weight.clear();
      for (double step : this->t) s.weight.push_back(this->weight[static_cast<size_t>(step)]);
      diffusion_loss(this->stream, loss, dpred.data(), device_pred.data(), x0, this->device_t, counter, this->tables,
                     this->device_weight, prediction, n, row, batch);
      Values bound(n, 1e-30), gradient_bound(n * row);
      const Values want_gradient = ref::loss_gradient(pred, s), want = ref::loss(pred, s);
      for (size_t i = 0; i < pred.size(); ++i) {
        const double w = s.weight[i / row];
        const double target = ref::target(s, i), error = std::fabs(pred[i] - target);
        const double off = kNormalError + 3 * u * (std::fabs(target) + std::fabs(s.x0[i]) + error);
        bound[i / row] += w / static_cast<double>(row) * (2 * error * off + off * off + 6 * u * error * error);
        gradient_bound[i] =
            2 * w / (static_cast<double>(row) * batch) * off + (4 * u + kRound<T>)*std::fabs(want_gradient[i]) + 1e-37;
      }
      const std::string what = join_text("prediction ", static_cast<int>(prediction), " row ", row);
      expect_within(what, loss.values(), want, bound);
      expect_within(what + " dpred", dpred.values(), want_gradient, gradient_bound);

      // Image 2 alone, and a loss without gradient: the same bits.
      SampleCounter last = counter;
      last.first += 2;
      diffusion_loss(this->stream, alone, one.data(), device_pred.data() + 2 * row, x0 + 2 * row, this->device_t + 2,
                     last, this->tables, this->device_weight, prediction, 1, row, batch);
      EXPECT_EQ(alone.bits(), loss.bits().substr(2 * sizeof(float)));
      EXPECT_EQ(one.bits(), dpred.bits().substr(2 * row * sizeof(T)));
      diffusion_loss(this->stream, plain, {}, device_pred.data(), x0, this->device_t, counter, this->tables,
                     this->device_weight, prediction, n, row, batch);
      EXPECT_EQ(plain.bits(), loss.bits());

      // No weight table is weight one: the loss of image n divided by its weight.
      diffusion_loss(this->stream, plain, {}, device_pred.data(), x0, this->device_t, counter, this->tables, nullptr,
                     prediction, n, row, batch);
      const Values weighted = loss.values();
      Values unweighted(n);
      for (int i = 0; i < n; ++i) unweighted[i] = weighted[i] / s.weight[i];
      expect_close("unweighted", plain.values(), unweighted, 3 * u, 0);
    }
  }
}

TEST(LossReference, GradientIsTheDerivative) {
  const int n = 3;
  const int64_t row = 10;
  for (const Prediction prediction : {Prediction::Epsilon, Prediction::Sample, Prediction::V}) {
    const ref::LossCase s{random_values(n * row, 1),
                          random_values(n * row, 2),
                          {0.9, 0.5, 0.1},
                          {0.1, 0.6, 0.99},
                          {0.5, 1, 3},
                          prediction,
                          row,
                          n};
    const Values pred = random_values(n * row, 3);
    expect_gradient(
        "loss",
        [&](const Values& p) {
          double mean = 0;
          for (double l : ref::loss(p, s)) mean += l / n;
          return mean;
        },
        pred, ref::loss_gradient(pred, s));
  }
}

// With signal 0 and noise 1, noising writes eps itself; predicting it must leave exactly nothing.
TEST(LossNoise, IsNoisingsBitForBit) {
  Stream stream;
  const int n = 3;
  for (int64_t row : cases::kImageElements) {
    DeviceArray<float> zero(stream, Values{0}), one(stream, Values{1}), x0(stream, random_values(n * row, 1));
    DeviceArray<float> eps(stream, n * row), loss(stream, n), dpred(stream, n * row);
    DeviceArray<int32_t> t(stream, Values{0, 0, 0});
    DeviceArray<int64_t> step(stream, Values{6});
    SampleCounter counter;
    counter.seed = 5, counter.step = step, counter.samples_per_step = 3, counter.first = 1;
    const NoiseTables tables{zero, one, 1};
    add_noise(stream, eps.data(), x0, t, counter, tables, n, row);
    for (const Prediction prediction : {Prediction::Epsilon, Prediction::V}) {  // v = signal eps - noise x0
      DeviceArray<float> v_zero(stream, Values{1}), v_one(stream, Values{0});
      const NoiseTables v_tables{v_zero, v_one, 1};
      diffusion_loss(stream, loss, dpred.data(), eps.data(), x0, t, counter,
                     prediction == Prediction::V ? v_tables : tables, nullptr, prediction, n, row, n);
      EXPECT_EQ(loss.values(), Values(n, 0.0));
      EXPECT_EQ(dpred.values(), Values(n * row, 0.0));
    }
  }
}

TEST(LossErrors, NameWhatIsWrong) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  EXPECT_THROW(diffusion_loss(stream, x, {}, x.data(), x, nullptr, {}, {x, x, 1}, nullptr, Prediction::V, 2, 2, 1),
               Error);
}

}  // namespace
}  // namespace ito::test
