// SPDX-License-Identifier: Apache-2.0
// A file of measurements, as those of three numbers of an image of 2 x 1.
#include <cmath>

#include "tests/fuzz/memory_file.h"
#include "tools/commands/restore/measurement_file.h"

namespace ito {
namespace {

class ThreeNumbers : public MeasurementOperator {
 public:
  ThreeNumbers() : MeasurementOperator({2, 1, 1}, {1, 1, 3}) {}
  void apply(Stream& /*stream*/, float* /*y*/, const float* /*x*/, int /*n*/) override {}
  void adjoint(Stream& /*stream*/, float* /*x*/, const float* /*r*/, const float* /*at*/, int /*n*/) override {}
};

}  // namespace

void fuzz_measurements(Bytes bytes) {
  static MemoryFile memory("y.safetensors");
  memory.set(bytes);
  const MeasurementFile file(memory.path());
  const MeasurementFacts& facts = file.facts();
  demand(!facts.sigma_y || (*facts.sigma_y >= 0 && *facts.sigma_y <= kMostSigmaY), "noise is of a size that can be");
  demand(!facts.image || (facts.image->height > 0 && facts.image->width > 0 && facts.image->channels > 0),
         "an image has sides");
  const Measurements all = file.read(ThreeNumbers(), "three", 0, file.count());
  demand(all.y.size() == 3 * static_cast<size_t>(all.count), "every image has its measurements");
  for (const float number : all.y) demand(std::isfinite(number), "measurements are finite");
  file.read(ThreeNumbers(), "three", file.count() - 1, 1);
}

}  // namespace ito
