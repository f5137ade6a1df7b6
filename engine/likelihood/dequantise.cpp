// SPDX-License-Identifier: Apache-2.0
// See dequantise.h. A truncated normal is drawn by bisecting its distribution function.
#include "engine/likelihood/dequantise.h"

#include <array>
#include <cmath>
#include <numbers>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"none", "uniform", "truncated-normal"};  // as enumerated
constexpr double kBin = 2.0 / 255;
constexpr double kOffGrid = 1e-3;  // of a bin: what fp32 and its conversions may do to a byte

// Of P(|e| <= tau) u = P(0 < e <= the result), u in (-1, 1].
double truncated_normal(double u, double tau) {
  const double wanted = std::fabs(u) * std::erf(tau / std::numbers::sqrt2);
  double low = 0, high = tau;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erf(middle / std::numbers::sqrt2) < wanted ? low : high) = middle;
  }
  return std::copysign(high, u);
}

}  // namespace

std::string_view name_of(Dequantise kind) {
  return kNames.at(static_cast<size_t>(kind));
}

Dequantise dequantise_of(std::string_view name, const std::string& where) {
  std::vector<std::string> known(kNames.begin(), kNames.end());
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Dequantise>(i);
  fail<UserError>(where, ": dequantise ", quote_name(name), " is not known; use one of ", list_names(known),
                  did_you_mean(name, known));
}

DequantisedImages dequantised(Dequantise kind, const std::vector<float>& x0, int64_t count, int64_t first, double s,
                              uint64_t seed, const std::string& where) {
  DequantisedImages images{.x = x0, .log_q = std::vector<double>(static_cast<size_t>(count), 0.0)};
  if (kind == Dequantise::None) return images;
  const int64_t size = static_cast<int64_t>(x0.size()) / count;
  const double tau = kBin / (2 * s), inside = std::erf(tau / std::numbers::sqrt2);
  for (int64_t n = 0; n < count; ++n)
    for (int64_t i = 0; i < size; ++i) {
      float& x = images.x[static_cast<size_t>(n * size + i)];
      const double byte = 127.5 * (static_cast<double>(x) + 1), nearest = std::nearbyint(byte);
      ITO_USER_CHECK(std::fabs(byte - nearest) < kOffGrid && nearest >= 0 && nearest <= 255, where, ": image ",
                     first + n, " holds ", x, ", which is no byte v / 127.5 - 1; only bytes are dequantised");
      const Random4 bits = philox4x32(seed, static_cast<uint32_t>(i / 4), 0, static_cast<uint32_t>(first + n),
                                      purpose_word(Purpose::Dequantise));
      const double unit = uniform_open0(bits.v[i % 4]);
      double shift = kBin * (unit - 0.5), log_q = -std::log(kBin);
      if (kind == Dequantise::TruncatedNormal) {
        const double e = truncated_normal(2 * unit - 1, tau);
        shift = s * e;
        log_q = -e * e / 2 - std::log(s * std::sqrt(2 * std::numbers::pi) * inside);
      }
      x = static_cast<float>(nearest / 127.5 - 1 + shift);
      images.log_q[static_cast<size_t>(n)] += log_q;
    }
  return images;
}

}  // namespace ito
