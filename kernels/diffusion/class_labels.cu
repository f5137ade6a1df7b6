// SPDX-License-Identifier: Apache-2.0
// Labels set, and labels dropped by a draw an image (header). An item is an image; 4 bytes, or 8.
#include "kernels/diffusion/class_labels.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

DEVICE void set_label(int64_t i, int32_t* labels, int32_t label) {
  labels[i] = label;
}

DEVICE void drop_label(int64_t i, int32_t* labels, float chance, int32_t label, SampleCounter counter) {
  const Random4 bits = quad_bits(sample_draws(counter, i), 0, purpose_word(Purpose::ClassDropout));
  if (uniform01(bits.v[0]) < chance) labels[i] = label;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void set_labels(Stream& stream, int32_t* labels, int32_t label, int n) {
  ITO_CHECK(labels && n >= 0, "set_labels: N ", n, ", expected a positive size and no null");
  for_each<set_label>("set_labels", n, stream, labels, label);
}

void drop_labels(Stream& stream, int32_t* labels, float chance, int32_t label, const SampleCounter& counter, int n) {
  ITO_CHECK(labels && n >= 0 && chance >= 0 && chance <= 1, "drop_labels: N ", n, ", chance ", chance,
            ", expected a positive size, 0 to 1 and no null");
  for_each<drop_label>("drop_labels", n, stream, labels, chance, label, counter);
}

}  // namespace ito
