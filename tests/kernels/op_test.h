// SPDX-License-Identifier: Apache-2.0
// What every kernel test needs: device buffers seen as vectors of double, deterministic data, a comparison that prints
// the worst element, and finite differences. References are plain fp64 loops in tests/ref; their inputs are the stored
// (rounded) values, so that a difference is the kernel's own.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/random/philox.h"
#include "kernels/seams/device.h"
#include "kernels/types.h"

namespace ito::test {

using Values = std::vector<double>;
using StorageTypes = ::testing::Types<float, bf16>;

// 2^-p for a significand of p bits: the relative error of one rounding to nearest.
inline constexpr double kRoundFloat = 0x1p-24;
template <class T>
constexpr double kRound = std::is_same_v<T, bf16> ? 0x1p-8 : kRoundFloat;

// On the host, on purpose by another road than the kernels' conversion: through the bits of the nearest neighbours.
inline double widen(float x) {
  return x;
}
inline double widen(bf16 x) {
  const uint32_t u = static_cast<uint32_t>(x.bits) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
template <class T>
T narrow(double x) {
  if constexpr (std::is_same_v<T, bf16>) {
    const float f = static_cast<float>(x);
    uint32_t u;
    std::memcpy(&u, &f, 4);
    if (std::isnan(f)) return bf16{0x7FC0};
    const bf16 below{static_cast<uint16_t>(u >> 16)};
    const bf16 above{static_cast<uint16_t>((u >> 16) + 1)};
    const double to_below = std::fabs(f - widen(below)), to_above = std::fabs(widen(above) - f);
    if (to_below != to_above) return to_below < to_above ? below : above;
    return below.bits & 1 ? above : below;
  } else {
    return static_cast<T>(x);
  }
}

// The values as T can hold them.
template <class T>
Values stored(Values values) {
  for (double& v : values) v = widen(narrow<T>(v));
  return values;
}

// Normal numbers times stddev plus mean, the same for the same seed everywhere.
inline Values random_values(size_t count, uint64_t seed, double stddev = 1.0, double mean = 0.0) {
  Values values(count);
  for (size_t i = 0; i < count; ++i) {
    const Random4 r = philox4x32(seed, static_cast<uint32_t>(i), 0, 0, 0x7E57u);
    const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_open0(r.v[0]))));
    values[i] = mean + stddev * radius * std::cos(2.0 * M_PI * uniform01(r.v[1]));
  }
  return values;
}

// Device memory of count elements, filled with NaN bytes until written.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Stream& stream, size_t count) : stream_(stream), count_(count) {
    data_ = static_cast<T*>(device_allocate(bytes(), "a test's array"));
    fill_bytes(stream_, data_, 0xFF, bytes());
  }
  DeviceArray(Stream& stream, const Values& values) : DeviceArray(stream, values.size()) { upload(values); }
  ~DeviceArray() { device_free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  operator T*() const { return data_; }
  size_t size() const { return count_; }

  void upload(const Values& values) {
    std::vector<T> host(count_);
    for (size_t i = 0; i < count_; ++i) {
      if constexpr (std::is_integral_v<T>)
        host[i] = static_cast<T>(values.at(i));
      else
        host[i] = narrow<T>(values.at(i));
    }
    copy_to_device(stream_, data_, host.data(), bytes());
  }
  void upload_raw(const std::vector<T>& host) {  // records, or values as they are
    ASSERT_EQ(host.size(), count_);
    copy_to_device(stream_, data_, host.data(), bytes());
  }
  std::vector<T> raw() const {
    std::vector<T> host(count_);
    copy_to_host(stream_, host.data(), data_, bytes());
    return host;
  }
  Values values() const {
    Values out;
    out.reserve(count_);
    for (const T& v : raw()) {
      if constexpr (std::is_integral_v<T>)
        out.push_back(static_cast<double>(v));
      else
        out.push_back(widen(v));
    }
    return out;
  }
  std::string bits() const {  // for comparisons bit for bit
    const std::vector<T> host = raw();
    return {reinterpret_cast<const char*>(host.data()), bytes()};
  }
  size_t bytes() const { return count_ * sizeof(T); }

 private:
  Stream& stream_;
  size_t count_;
  T* data_;
};

// Fails, printing the element that is worst by the measure |got - want| / bound[i], unless it is at most 1 for all.
inline void expect_within(const std::string& what, const Values& got, const Values& want, const Values& bound) {
  ASSERT_EQ(got.size(), want.size()) << what;
  ASSERT_EQ(bound.size(), want.size()) << what;
  size_t worst = 0;
  double worst_ratio = -1;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(got[i] - want[i]);
    double ratio = error == 0 ? 0 : error / bound[i];
    if (!(ratio >= 0)) ratio = INFINITY;  // NaN anywhere
    if (ratio > worst_ratio) worst = i, worst_ratio = ratio;
  }
  if (worst_ratio > 1) {
    ADD_FAILURE() << what << ": element " << worst << " of " << got.size() << " is " << got[worst] << ", expected "
                  << want[worst] << "; error " << std::fabs(got[worst] - want[worst]) << ", allowed " << bound[worst]
                  << " (" << worst_ratio << " times)";
  }
}

// |got - want| <= relative |want| + absolute.
inline void expect_close(const std::string& what, const Values& got, const Values& want, double relative,
                         double absolute) {
  Values bound(want.size());
  for (size_t i = 0; i < want.size(); ++i) bound[i] = relative * std::fabs(want[i]) + absolute;
  expect_within(what, got, want, bound);
}

// The same with an absolute part for each element: unit * magnitude[i], magnitude being the sum of the absolute values
// of the terms that element is the sum of.
inline void expect_close(const std::string& what, const Values& got, const Values& want, double relative, double unit,
                         const Values& magnitude) {
  ASSERT_EQ(magnitude.size(), want.size()) << what;
  Values bound(want.size());
  for (size_t i = 0; i < want.size(); ++i) bound[i] = relative * std::fabs(want[i]) + unit * magnitude[i] + 1e-37;
  expect_within(what, got, want, bound);
}

inline Values absolute(Values values) {
  for (double& v : values) v = std::fabs(v);
  return values;
}

inline Values plus(Values a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// check(stream, case) for every case of a list, which failures name by its number.
template <class Cases, class Check>
void for_each_case(const Cases& cases, const Check& check) {
  int number = 0;
  for (const auto& one : cases) {
    SCOPED_TRACE(testing::Message() << "case " << number++);
    Stream stream;
    check(stream, one);
  }
}

// A gradient both set and added to what is there; launch(array, write). Bounds as expect_close has them; what is added
// to is one more term of the sum, and the sum is rounded in fp32 once more.
template <class T, class Launch>
void expect_set_and_added(Stream& stream, const std::string& what, const Values& want, double relative, double unit,
                          const Values& magnitude, const Launch& launch) {
  const Values old = stored<T>(random_values(want.size(), 0x01D));
  DeviceArray<T> set(stream, want.size()), added(stream, old);
  launch(set, Write::Set);
  launch(added, Write::Add);
  expect_close(what, set.values(), want, relative, unit, magnitude);
  expect_close(what + " added", added.values(), plus(want, old), relative + kRoundFloat, unit,
               plus(magnitude, absolute(old)));
}

inline double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Checks an fp64 gradient of the scalar f at x against central differences along `directions` random directions and
// along a few single coordinates. Truncation is of order step^2 and rounding of order 1e-16 / step of the terms'
// magnitude, so with step 1e-5 agreement to 1e-6 of the gradient's size is demanded.
inline void expect_gradient(const std::string& what, const std::function<double(const Values&)>& f, const Values& x,
                            const Values& gradient, int directions = 4, uint64_t seed = 99) {
  ASSERT_EQ(x.size(), gradient.size()) << what;
  const double step = 1e-5;
  double norm = 0;
  for (double g : gradient) norm = std::max(norm, std::fabs(g));
  for (int d = 0; d < 2 * directions; ++d) {
    Values direction(x.size(), 0.0);
    if (d < directions)
      direction = random_values(x.size(), seed + d);
    else
      direction[(seed + 7919u * static_cast<size_t>(d)) % x.size()] = 1.0;
    Values plus = x, minus = x;
    for (size_t i = 0; i < x.size(); ++i) {
      plus[i] += step * direction[i];
      minus[i] -= step * direction[i];
    }
    const double numeric = (f(plus) - f(minus)) / (2 * step);
    const double analytic = dot(gradient, direction);
    const double scale = norm * std::sqrt(dot(direction, direction)) + std::fabs(analytic);
    EXPECT_NEAR(numeric, analytic, 1e-6 * scale + 1e-9) << what << ", direction " << d;
  }
}

}  // namespace ito::test
