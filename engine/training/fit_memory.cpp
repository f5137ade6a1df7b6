// SPDX-License-Identifier: Apache-2.0
// See fit_memory.h. A plan is exact and takes as long as making the network's layers, so few are made.
#include "engine/training/fit_memory.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ito {

int largest_micro_batch(const Network& network, const NoiseSchedule& schedule, TrainSettings settings, size_t limit) {
  const int chunk = images_per_chunk();
  const auto fits = [&](int images) {
    settings.micro_batch = images;
    return Trainer::bytes_needed(network, schedule, settings) <= limit;
  };
  if (settings.batch <= chunk || fits(settings.batch)) return settings.batch;
  int images = chunk * static_cast<int>(std::bit_floor(static_cast<unsigned>((settings.batch - 1) / chunk)));
  while (images > chunk && !fits(images)) images /= 2;
  return images;
}

int largest_within(size_t limit, int most, const std::function<size_t(int)>& bytes_of) {
  const size_t of_one = bytes_of(1);
  if (of_one > limit) return 0;
  int fits = 1, too_many = most + 1;
  double fits_bytes = static_cast<double>(of_one), slope = 0;
  for (int asked = 1; too_many - fits > 1; ++asked) {
    // Along the line through what was asked last; every third time the middle of what is known to bound it, so that a
    // bend costs little.
    double guess = 2;
    if (slope > 0) guess = std::floor(fits + (static_cast<double>(limit) - fits_bytes) / slope);
    if (too_many <= most && asked % 3 == 0) guess = fits + (too_many - fits) / 2;
    const int images = static_cast<int>(std::clamp<double>(guess, fits + 1, too_many - 1));
    const auto bytes = static_cast<double>(bytes_of(images));
    slope = (bytes - fits_bytes) / (images - fits);
    if (bytes <= static_cast<double>(limit)) {
      fits = images;
      fits_bytes = bytes;
    } else {
      too_many = images;
    }
  }
  return fits;
}

}  // namespace ito
