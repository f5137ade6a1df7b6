// SPDX-License-Identifier: Apache-2.0
// Bytes have no density: one is asked at a point within a byte's bin of width 2/255 that is drawn with density q, and
//   ln P(bytes) >= E_q [ln p(x) - ln q(x)]
//   uniform           x = v + d u, u uniform in (-1/2, 1/2], d = 2/255 the bin               (Theis et al. 2016)
//   truncated-normal  x = v + s e, e standard normal cut off at +-d / (2s): noise as the data's end of a flow has it,
//                     so that a network knows it                                             (Zheng et al. 2023)
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

enum class Dequantise : uint8_t { None, Uniform, TruncatedNormal };

std::string_view name_of(Dequantise kind);
Dequantise dequantise_of(std::string_view name, const std::string& where);  // UserError with the names there are

struct DequantisedImages {
  std::vector<float> x;       // (count, size)
  std::vector<double> log_q;  // (count), nats; 0 of Dequantise::None
};

// x0 (count, size): v / 127.5 - 1 of bytes v, unless kind is None; UserError, beginning with `where`, for other
// numbers. first: number of the first image, which its draws (Purpose::Dequantise) belong to. s: noise to signal at the
// data's end.
DequantisedImages dequantised(Dequantise kind, const std::vector<float>& x0, int64_t count, int64_t first, double s,
                              uint64_t seed, const std::string& where);

}  // namespace ito
