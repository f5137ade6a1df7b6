// SPDX-License-Identifier: Apache-2.0
// Terms of the variational bound and their gradient against long double, from near the mean to two hundred deviations
// away.
#include "kernels/diffusion/variational.h"

#include "kernels/diffusion/noising.h"
#include "tests/cases/forward_row.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/variational.h"

namespace ito::test {
namespace {

struct Shape {
  int pixels, c;
  bool wide;
};
constexpr Shape kShapes[] = {{1, 1, false}, {35, 3, false}, {35, 3, true}, {700, 2, true}};

// A row for each of cases::kForwardRows, by their level; without a second half nothing is learned.
std::vector<VariationalRow> table(bool wide) {
  std::vector<VariationalRow> rows = {
      // The first timestep of the linear schedule: sigma 0.01, learned up to 0.02.
      {.x0_from_x = 1.0005,
       .x0_from_pred = -0.01,
       .from_x0 = 1,
       .from_d = -1,
       .log_variance = -9.2,
       .span = 1.4,
       .term = BoundTerm::Bytes},
      {.x0_from_pred = 1,
       .from_x0 = 0.03,
       .from_d = -0.03,
       .log_variance = -6.3,
       .span = 0.5,
       .true_log_variance = -6.2},
      {.x0_from_x = 0.01,
       .x0_from_pred = -1,
       .clip = 0.8,
       .from_x0 = 1,
       .from_d = -0.7,
       .from_x = 0.1,
       .log_variance = -1.5,
       .term = BoundTerm::Bytes},
      {.from_x0 = 0.4, .from_x = 0.6, .from_pred = -1, .log_variance = -2, .span = -0.7, .true_log_variance = -2.5},
      {.x0_from_x = 0.3,
       .x0_from_pred = 0.8,
       .from_x0 = 1,
       .from_d = -1,
       .log_variance = -3,
       .span = 2,
       .term = BoundTerm::Density},
  };
  if (!wide)
    for (VariationalRow& row : rows) row.span = 0;
  return rows;
}

// Bytes, black and white among them.
Values byte_values(size_t count) {
  Values values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = 2.0 * (philox4x32(5, static_cast<uint32_t>(i), 0, 0, 0).v[0] % 6 * 51) / 255 - 1;
  return values;
}

template <class T>
class Variational : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(Variational, StorageTypes);

// The noised number is taken from add_noise, to which the kernel's own is equal; the rest is arithmetic in double,
// whose least exact step is the share of a byte where that is a difference of two tails: its error is 1e-12 of a tail,
// and a share is never less than a hundredth of the nearer one here. Gradients are compared with differences of long
// double, step 1e-6, and rounded to the answer's type.
TYPED_TEST(Variational, TermsAndGradientMatchLongDouble) {
  using T = TypeParam;
  const int n = static_cast<int>(cases::kForwardRows.size()), batch = n + 3;
  for (const Shape& shape : kShapes) {
    const int64_t size = int64_t{shape.pixels} * shape.c, width = shape.wide ? 2 : 1;
    SCOPED_TRACE(join_text(shape.pixels, " x ", shape.c, shape.wide ? ", wide" : ""));
    const std::vector<VariationalRow> rows = table(shape.wide);
    std::vector<ForwardRow> forward = cases::kForwardRows;
    for (int i = 0; i < n; ++i) forward[i].scale = 1 + 0.25f * static_cast<float>(i);
    const Values x0 = stored<float>(byte_values(n * size)), pred = stored<T>(random_values(width * n * size, 2));
    SampleCounter counter;
    counter.seed = 4, counter.first = 19;
    DeviceArray<ForwardRow> device_forward(this->stream, n);
    device_forward.upload_raw(forward);
    DeviceArray<VariationalRow> device_rows(this->stream, rows.size());
    device_rows.upload_raw(rows);
    DeviceArray<float> device_x0(this->stream, x0), noised(this->stream, n * size), loss(this->stream, n);
    DeviceArray<float> squared(this->stream, Values{0.5, 0, 2, 1, 3});
    DeviceArray<T> device_pred(this->stream, pred), dpred(this->stream, pred.size()), of_v(this->stream, pred.size());
    DeviceArray<double> terms(this->stream, n), alone(this->stream, 1);
    add_noise(this->stream, noised.data(), nullptr, device_x0, device_forward, counter, n, size);
    const VariationalLoss training{
        .loss = loss, .squared = squared, .dpred = dpred.data(), .of_mean = true, .factor = 1.5, .batch = batch};
    variational_terms(this->stream, terms, training, device_pred.data(), shape.wide, device_x0, device_forward,
                      device_rows, counter, n, shape.pixels, shape.c);

    const Values x = noised.values();
    Values want(n, 0.0), bound(n, 0.0), want_loss(n), loss_bound(n), gradient(pred.size()), gradient_bound(pred.size());
    for (int64_t i = 0; i < n * size; ++i) {
      const int64_t image = i / size, at = i / shape.c * width * shape.c + i % shape.c;
      const VariationalRow& row = rows[forward[image].level];
      const long double v = shape.wide ? pred[at + shape.c] : 0;
      const auto term = [&](long double answer, long double second) {
        return ref::variational_term(row, x0[i], x[i], answer, second);
      };
      const long double value = term(pred[at], v), scale = 1.5L * forward[image].scale / (size * batch);
      want[image] += static_cast<double>(value / size);
      bound[image] += 1e-10 * (1 + static_cast<double>(std::fabs(value))) / size;
      const long double h = 1e-6L;
      const auto put = [&](int64_t to, long double derivative, bool clipped) {
        gradient[to] = static_cast<double>(scale * derivative);
        gradient_bound[to] = (kRound<T> + 1e-6) * std::fabs(gradient[to]) +
                             static_cast<double>(scale) * 1e-6 * (1 + std::fabs(static_cast<double>(value)));
        if (clipped) gradient_bound[to] = INFINITY;
      };
      const bool clipped = row.clip > 0 && std::fabs(row.x0_from_x * x[i] + row.x0_from_pred * pred[at]) > row.clip;
      put(at, (term(pred[at] + h, v) - term(pred[at] - h, v)) / (2 * h), clipped);
      if (shape.wide) put(at + shape.c, (term(pred[at], v + h) - term(pred[at], v - h)) / (2 * h), false);
    }
    const Values squared_values = squared.values();
    for (int i = 0; i < n; ++i) {
      const double own = 1.5 * static_cast<double>(forward[i].scale);
      want_loss[i] = squared_values[i] + own * want[i];
      loss_bound[i] = own * bound[i] + 2 * kRoundFloat * std::fabs(want_loss[i]);
    }
    expect_within("terms", terms.raw(), want, bound);
    expect_within("loss", loss.values(), want_loss, loss_bound);
    expect_within("gradient", dpred.values(), gradient, gradient_bound);

    // Of the variance alone: the same numbers there, and the answers' half is left as it was.
    VariationalLoss variance = training;
    variance.of_mean = false;
    variance.dpred = of_v.data();
    const std::vector<T> before = of_v.raw(), both = dpred.raw();
    variational_terms(this->stream, nullptr, variance, device_pred.data(), shape.wide, device_x0, device_forward,
                      device_rows, counter, n, shape.pixels, shape.c);
    const std::vector<T> after = of_v.raw();
    for (size_t i = 0; i < after.size(); ++i) {
      const bool second = shape.wide && i / shape.c % 2 == 1;
      EXPECT_EQ(std::memcmp(&after[i], second ? &both[i] : &before[i], sizeof(T)), 0) << i;
    }

    // An image alone: the same bits.
    counter.first += n - 1;
    DeviceArray<ForwardRow> last(this->stream, 1);
    last.upload_raw({forward.back()});
    variational_terms(this->stream, alone, {}, device_pred.data() + (n - 1) * size * width, shape.wide,
                      device_x0.data() + (n - 1) * size, last, device_rows, counter, 1, shape.pixels, shape.c);
    EXPECT_EQ(alone.bits(), terms.bits().substr((n - 1) * sizeof(double)));
  }
}

// The shares of all bytes are the whole, wherever the mean and however wide.
TEST(VariationalBytes, SharesSumToOne) {
  Stream stream;
  constexpr int kBytes = 256;
  Values x0(kBytes);
  for (int i = 0; i < kBytes; ++i) x0[i] = 2.0 * i / 255 - 1;
  DeviceArray<float> device_x0(stream, x0);
  std::vector<ForwardRow> forward(kBytes);
  DeviceArray<ForwardRow> device_forward(stream, kBytes);
  device_forward.upload_raw(forward);
  DeviceArray<double> terms(stream, kBytes);
  for (const double mean : {-1.2, -0.3, 0.501, 1.0})
    for (const double deviation : {0.004, 0.05, 2.0}) {
      DeviceArray<float> pred(stream, Values(kBytes, mean));
      DeviceArray<VariationalRow> row(stream, 1);
      row.upload_raw(
          {{.from_x0 = 1, .from_pred = -1, .log_variance = 2 * std::log(deviation), .term = BoundTerm::Bytes}});
      variational_terms(stream, terms, {}, pred.data(), false, device_x0, device_forward, row, {}, kBytes, 1, 1);
      double sum = 0;
      for (const double term : terms.raw()) sum += std::exp(-term);
      // x0 is a float: a byte's edge is off by 6e-8, which shifts a share by that times the density there.
      EXPECT_NEAR(sum, 1, 1e-7 * kBytes / deviation) << mean << " " << deviation;
    }
}

TEST(VariationalErrors, NameWhatIsWrong) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  EXPECT_THROW(variational_terms(stream, nullptr, {.batch = 0}, x.data(), false, x, nullptr, nullptr, {}, 1, 1, 1),
               Error);
}

}  // namespace
}  // namespace ito::test
