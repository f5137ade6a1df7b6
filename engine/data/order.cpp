// SPDX-License-Identifier: Apache-2.0
// See order.h. 32 random bits choose among n entries with a bias below n / 2^32: under 2e-5 for 60000 images.
#include "engine/data/order.h"

#include <limits>
#include <numeric>
#include <utility>

#include "kernels/error.h"
#include "kernels/random/philox.h"

namespace ito {

DataOrder::DataOrder(uint64_t seed, int64_t count) : seed_(seed), count_(count) {
  ITO_CHECK(count > 0 && count <= std::numeric_limits<uint32_t>::max(), "data order: ", count, " images");
}

const DataOrder::Epoch& DataOrder::epoch(int64_t number) {
  Epoch& cached = cached_[number % 2];
  if (cached.number == number) return cached;
  ITO_CHECK(number <= std::numeric_limits<uint32_t>::max(), "data order: epoch ", number, " is beyond 2^32");
  std::vector<uint32_t>& order = cached.permutation;
  order.resize(static_cast<size_t>(count_));
  std::iota(order.begin(), order.end(), 0u);
  Random4 random{};
  for (uint32_t draw = 0; draw + 1 < order.size(); ++draw) {
    if (draw % 4 == 0)
      random = philox4x32(seed_, draw / 4, static_cast<uint32_t>(number), 0, purpose_word(Purpose::Permutation));
    const uint32_t last = static_cast<uint32_t>(order.size()) - 1 - draw;
    std::swap(order[last], order[uniform_below(random.v[draw % 4], last + 1)]);
  }
  cached.number = number;
  return cached;
}

int64_t DataOrder::index(int64_t position) {
  ITO_CHECK(position >= 0, "data order: position ", position);
  return epoch(position / count_).permutation[static_cast<size_t>(position % count_)];
}

bool DataOrder::flip(int64_t position) const {
  return mirrors_image(seed_, static_cast<uint64_t>(position));
}

}  // namespace ito
