// SPDX-License-Identifier: Apache-2.0
// See read_samples.h. Sizes are checked before anything is read.
#include "tools/commands/read_samples.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/io/npz.h"
#include "engine/io/safetensors.h"
#include "engine/program/memory_check.h"
#include "engine/run/run_config.h"
#include "kernels/error.h"

namespace ito {
namespace {

// shape: N, H, W, C in that order; name: of the array in its file.
Samples sized(const std::string& path, const char* name, const std::vector<int64_t>& shape, size_t memory_limit) {
  for (size_t d = 0; d < 4; ++d)
    ITO_USER_CHECK(shape[d] >= 1 && shape[d] <= (d ? kMaxImageSide : 1 << 30), path, ": ", name, " has a dimension of ",
                   shape[d], "; expected images of 1 to ", kMaxImageSide, " a side");
  Samples samples;
  samples.count = shape[0];
  samples.image = {static_cast<int>(shape[1]), static_cast<int>(shape[2]), static_cast<int>(shape[3])};
  // As they are in the file, in the other order, and as what is compared.
  check_memory(
      "reading the samples",
      {{"images", saturated_product({static_cast<size_t>(samples.count), static_cast<size_t>(samples.image.size()),
                                     2 * sizeof(float) + sizeof(double)})}},
      memory_limit, "give fewer of them");
  return samples;
}

Samples read_npz_samples(const std::string& path, size_t memory_limit) {
  const NpzFile file = NpzFile::open(path);
  const NpyHeader header = file.header("arr_0");
  ITO_USER_CHECK(header.shape.size() == 4, path, ": arr_0 has ", header.shape.size(),
                 " dimensions; expected images (N, H, W, C), or features (N, D)");
  Samples samples = sized(path, "arr_0", header.shape, memory_limit);
  const std::vector<uint8_t> bytes = file.read_bytes("arr_0");
  samples.images.resize(bytes.size());
  std::transform(bytes.begin(), bytes.end(), samples.images.begin(),
                 [](uint8_t v) { return static_cast<float>(v) / 127.5f - 1.0f; });
  return samples;
}

}  // namespace

Samples read_samples(const std::string& path, size_t memory_limit) {
  if (std::filesystem::is_regular_file(path) && is_npz_file(path)) return read_npz_samples(path, memory_limit);
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("samples"), path, ": has no tensor samples; expected what ito sample writes");
  const std::vector<int64_t> shape = file.entry("samples").shape;
  ITO_USER_CHECK(shape.size() == 4, path, ": samples has ", shape.size(), " dimensions; expected (N, C, H, W)");
  Samples samples = sized(path, "samples", {shape[0], shape[2], shape[3], shape[1]}, memory_limit);
  samples.images = to_interleaved(file.read_floats("samples"), samples.count, samples.image);
  const auto bad =
      std::find_if(samples.images.begin(), samples.images.end(), [](float v) { return !std::isfinite(v); });
  ITO_USER_CHECK(bad == samples.images.end(), path, ": samples has a value of ", *bad, "; expected finite numbers");
  return samples;
}

}  // namespace ito
