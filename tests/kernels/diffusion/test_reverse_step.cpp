// SPDX-License-Identifier: Apache-2.0
// The fused reverse step against fp64 for every branch of its table, and packing to bytes.
#include "kernels/diffusion/reverse_step.h"

#include "kernels/diffusion/noising.h"
#include "kernels/diffusion/pack.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

// timestep | x0 | eps | eps from clipped | mean | std, clip | log variances, learned
const std::vector<ReverseCoefficients> kTable = {
    {999, 1.6f, -1.2f, 0.1f, 0.9f, 0, 0, 0, 0.8f, 0.3f, 0, 0.4f, 0, 0, 0, 0},          // noise, no clip
    {700, 1.6f, -1.2f, 0.1f, 0.9f, 0, 0, 0, 0.8f, 0.3f, 0.2f, 0.4f, 1, 0, 0, 0},       // clipped
    {500, 1.6f, -1.2f, 0.1f, 0.9f, 1, 1.3f, -0.7f, 0.1f, 0.9f, 0.2f, 0, 1, 0, 0, 0},   // eps from the clipped x0
    {300, 1.6f, -1.2f, 0.1f, 0.9f, 0, 0, 0, 0.8f, 0.3f, 0, 0.4f, 1, -1.5f, -4.0f, 1},  // learned variance
    {0, 1.6f, -1.2f, 0.1f, 0.9f, 0, 0, 0, 0, 1, 0, 0, 1, -1.5f, -4.0f, 1},             // the last: no noise
};

template <class T>
class ReverseStep : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(ReverseStep, StorageTypes);

// next passes about ten roundings of its terms. fast_exp adds 2 units of std, and its argument's rounding (|0.5 log
// variance| <= 2, 3u each) as much again: 16u in all covers both.
TYPED_TEST(ReverseStep, MatchesFp64) {
  using T = TypeParam;
  struct Case {
    int n, pixels, c;
  };
  DeviceArray<ReverseCoefficients> table(this->stream, kTable.size());
  table.upload_raw(kTable);
  for (const Case& s : {Case{3, 5, 3}, Case{2, 1400, 3}, Case{1, 64, 4}, Case{2, 1, 1}}) {
    const int64_t row = s.pixels * s.c, count = s.n * row;
    for (size_t step = 0; step < kTable.size(); ++step) {
      const ReverseCoefficients& k = kTable[step];
      const int wide = k.learned_variance != 0 ? 2 : 1;
      DeviceArray<int64_t> device_step(this->stream, Values{static_cast<double>(step)});
      SampleCounter counter;
      counter.seed = 6, counter.step = device_step, counter.first = 50, counter.counter_uses_step = true;
      const Values state = stored<float>(random_values(count, 1)), pred = stored<T>(random_values(wide * count, 2));
      DeviceArray<float> x(this->stream, state), x0(this->stream, count), z(this->stream, count),
          plain(this->stream, state);
      DeviceArray<T> device_pred(this->stream, pred), network(this->stream, count);
      fill_normal(this->stream, z, counter, purpose_word(Purpose::ReverseNoise), s.n, row);
      reverse_step(this->stream, x, network.data(), x0, device_pred.data(), table, counter, s.n, s.pixels, s.c);
      const Values noise = z.values();
      Values next(count), estimate(count), size(count), x0_size(count);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t from = i / s.c * wide * s.c + i % s.c;
        const ref::Reversed r =
            ref::reverse_element(k, state[i], pred[from], wide == 2 ? pred[from + s.c] : 0, noise[i]);
        next[i] = r.next, estimate[i] = r.x0, size[i] = r.magnitude;
        x0_size[i] = std::fabs(k.x0_from_x * state[i]) + std::fabs(k.x0_from_pred * pred[from]);
      }
      const std::string what = join_text("step ", step, ", ", s.pixels, " pixels of ", s.c);
      expect_close(what, x.values(), next, 0, 16 * u, size);
      expect_close(what + " x0", x0.values(), estimate, 0, 2 * u, x0_size);
      EXPECT_EQ(network.values(), stored<T>(x.values()));

      // Nothing else wanted: the same state. Image n - 1 alone: the same bits.
      reverse_step(this->stream, plain, {}, nullptr, device_pred.data(), table, counter, s.n, s.pixels, s.c);
      EXPECT_EQ(plain.bits(), x.bits());
      DeviceArray<float> alone(this->stream, Values(state.end() - row, state.end()));
      counter.first += s.n - 1;
      reverse_step(this->stream, alone, {}, nullptr, device_pred.data() + (s.n - 1) * row * wide, table, counter, 1,
                   s.pixels, s.c);
      EXPECT_EQ(alone.bits(), x.bits().substr((count - row) * sizeof(float)));
    }
  }
}

TEST(ReverseTable, StepsOn) {
  Stream stream;
  DeviceArray<ReverseCoefficients> table(stream, kTable.size());
  table.upload_raw(kTable);
  DeviceArray<int64_t> step(stream, Values{2});
  DeviceArray<float> t(stream, 3);
  set_timesteps(stream, t, table, step, 3);
  EXPECT_EQ(t.values(), Values(3, 500.0));
  advance_step(stream, step);
  set_timesteps(stream, t, table, step, 3);
  EXPECT_EQ(step.values(), Values{3});
  EXPECT_EQ(t.values(), Values(3, 300.0));
}

TEST(ReverseStepErrors, RefusesTheSameNoiseEveryStep) {
  Stream stream;
  DeviceArray<int64_t> step(stream, Values{0});
  DeviceArray<float> x(stream, 4);
  DeviceArray<ReverseCoefficients> table(stream, 1);
  SampleCounter counter;
  counter.step = step;
  EXPECT_THROW(reverse_step(stream, x, {}, nullptr, x.data(), table, counter, 1, 4, 1), Error);
}

TEST(Pack, RoundsAndClamps) {
  Stream stream;
  Values x;
  for (int i = 0; i < 4000; ++i) x.push_back(-1.2 + 2.4 * i / 3999);
  for (int k = 0; k < 255; ++k) x.push_back(2 * (k + 0.5) / 255 - 1);  // about the ties
  x.insert(x.end(), {-1, 1, 0, NAN, INFINITY, -INFINITY});
  x = stored<float>(x);
  DeviceArray<float> device_x(stream, x);
  DeviceArray<uint8_t> out(stream, x.size());
  pack_uint8(stream, out, device_x, static_cast<int64_t>(x.size()));
  const Values got = out.values();
  for (size_t i = 0; i < x.size(); ++i) {
    const float half = static_cast<float>(x[i]) / 2 + 0.5f;
    const float clamped = std::isnan(half) ? 0 : std::min(std::max(half, 0.0f), 1.0f);
    const float scaled = clamped * 255;
    ASSERT_EQ(got[i], std::nearbyint(static_cast<double>(scaled))) << x[i];
  }
  EXPECT_EQ(got[x.size() - 4], 128);  // x = 0 is 127.5, a tie: to even
}

}  // namespace
}  // namespace ito::test
