// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): the only source of
// randomness. key = 64-bit seed; counter = (element/4 in NHWC order, step, sample index, purpose). A draw is a
// pure function of these, so it does not depend on batch, threads or where a run was cut.
// constexpr and free of dialect words: the host calls it as it is, kernels through relaxed constexpr.
#pragma once
#include <cstdint>

namespace ito {

// The counter's last word: low 8 bits say what the draw is for, the upper 24 the layer (dropout) or 0.
enum class Purpose : uint32_t {
  Noise = 1,        // eps of training
  Timestep = 2,     // t of training
  Flip = 3,         // horizontal flips
  Permutation = 4,  // the epoch's order of the data
  Dropout = 5,      // | layer << 8
  InitialWeights = 6,
  InitialNoise = 7,  // x_T of sampling
  ReverseNoise = 8,  // z of a reverse step
  Projection = 9,    // directions of the sliced Wasserstein distance
  SecondNoise = 10,  // eps2 of training, where a target has a draw of its own
  Mixture = 11,      // exact draws of a Gaussian mixture, | 1 << 8: of its posterior
  Probe = 12,        // | number << 8: signs that estimate a trace
  Dequantise = 13,   // what is added to bytes that a density is asked of
  MeasurementNoise = 14,
  ClassDropout = 15,  // whether training takes an image without its class
};

constexpr uint32_t purpose_word(Purpose purpose, uint32_t layer = 0) {
  return static_cast<uint32_t>(purpose) | layer << 8;
}

struct Random4 {
  uint32_t v[4];
};

constexpr Random4 philox4x32(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1): the upper 24 bits, exact in fp32.
constexpr float uniform01(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}
// Uniform in (0, 1]: for logarithms.
constexpr float uniform_open0(uint32_t bits) {
  return static_cast<float>((bits >> 8) + 1) * 0x1p-24f;
}
// An integer in [0, n) from 32 random bits (multiply-shift; bias below n / 2^32).
constexpr uint32_t uniform_below(uint32_t bits, uint32_t n) {
  return static_cast<uint32_t>(static_cast<uint64_t>(bits) * n >> 32);
}

// Whether training mirrors the image at this position of its order; position = step x batch + place in the batch.
constexpr bool mirrors_image(uint64_t seed, uint64_t position) {
  return philox4x32(seed, 0, static_cast<uint32_t>(position >> 32), static_cast<uint32_t>(position),
                    purpose_word(Purpose::Flip))
             .v[0] &
         1u;
}

}  // namespace ito
