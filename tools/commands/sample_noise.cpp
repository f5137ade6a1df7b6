// SPDX-License-Identifier: Apache-2.0
// See sample_noise.h.
#include "tools/commands/sample_noise.h"

#include <algorithm>

#include "engine/io/safetensors.h"
#include "engine/program/memory_check.h"
#include "engine/reverse/torch_cpu_noise.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char* kPhilox = "philox";
constexpr const char* kTorchCpu = "torch-cpu";
constexpr const char* kTensor = "noise";

// Draws that the rows take: the last row that takes one has the largest number.
int64_t draws_taken(const ReverseTable& table) {
  int64_t taken = 0;
  for (const ReverseRow& row : table.rows) taken = std::max<int64_t>(taken, row.draw + 1);
  return taken;
}

// images: of all draws together.
void check_size(int64_t images, const ImageShape& image, size_t memory_limit) {
  // Twice: once more in the planes of the file.
  check_memory("the noise of the steps",
               {{"images", saturated_product(
                               {2, static_cast<size_t>(images), static_cast<size_t>(image.size()), sizeof(float)})}},
               memory_limit, "draw fewer images, or in fewer steps");
}

// Which images of how many.
struct OwnDraws {
  int64_t count;
  IndexRange own;
};

// Those of all images' planes, of draw after draw.
std::vector<float> own_of(std::vector<float> all, int64_t draws, const OwnDraws& images, const ImageShape& image) {
  const IndexRange& own = images.own;
  if (own.count < images.count) {
    const int64_t size = image.size();
    for (int64_t draw = 0; draw < draws; ++draw)
      std::copy_n(all.begin() + (draw * images.count + own.first) * size, own.count * size,
                  all.begin() + draw * own.count * size);
    all.resize(static_cast<size_t>(draws * own.count * size));
    all.shrink_to_fit();
  }
  return to_interleaved(all, draws * own.count, image);
}

std::vector<float> read_initial(const std::string& path, const ImageShape& image, const OwnDraws& images) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  file.check_shape(kTensor, {images.count, image.channels, image.height, image.width});
  return own_of(file.read_floats(kTensor), 1, images, image);
}

void read_steps(const std::string& path, const ReverseTable& table, const ImageShape& image, const OwnDraws& images,
                size_t memory_limit, SampleNoise& noise) {
  const int64_t taken = draws_taken(table);
  ITO_USER_CHECK(taken > 0, "--step-noise ", path, ": the sampler takes no noise in its steps; leave it out");
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has(kTensor), path, ": has no tensor ", kTensor, "; expected (draws, N, C, H, W)");
  const std::vector<int64_t> shape = file.entry(kTensor).shape;
  const int64_t draws = shape.empty() ? 0 : shape[0];
  file.check_shape(kTensor, {draws, images.count, image.channels, image.height, image.width});
  ITO_USER_CHECK(draws >= taken && draws <= table.draws, path, ": ", kTensor, " holds ", draws,
                 " draws, and the sampler takes ", taken, "; give ", taken,
                 table.draws > taken ? join_text(" or up to ", table.draws, ", those that its rule does not use") : "");
  check_size(draws * images.count, image, memory_limit);
  noise.draws = draws;
  noise.steps = own_of(file.read_floats(kTensor), draws, images, image);
}

}  // namespace

void check_noise_options(const NoiseOptions& o, int64_t first) {
  ITO_USER_CHECK(o.source == kPhilox || o.source == kTorchCpu, "--noise ", o.source, ": expected ", kPhilox, " or ",
                 kTorchCpu);
  if (o.source == kPhilox) return;
  ITO_USER_CHECK(o.initial_file.empty() && o.steps_file.empty(), "--noise ", o.source,
                 ": draws all noise, but --initial-noise or --step-noise gives some; leave one of them out");
  ITO_USER_CHECK(first == 0, "--first ", first, ": with --noise ", o.source,
                 " an image depends on all that are drawn with it; begin at 0");
}

SampleNoise sample_noise(const NoiseOptions& o, const ReverseTable& table, const ImageShape& image, int64_t count,
                         const IndexRange& own, uint64_t seed, size_t memory_limit) {
  const OwnDraws images{count, own};
  SampleNoise noise;
  if (o.source == kTorchCpu) {
    noise.draws = draws_taken(table);
    check_size(noise.draws * images.own.count + images.count, image, memory_limit);
    TorchCpuNoise generator(seed);
    const auto next = [&] { return own_of(generator.normals(images.count * image.size()), 1, images, image); };
    noise.initial = next();
    for (int64_t draw = 0; draw < noise.draws; ++draw) {
      const std::vector<float> drawn = next();
      noise.steps.insert(noise.steps.end(), drawn.begin(), drawn.end());
    }
  }
  if (!o.initial_file.empty()) noise.initial = read_initial(o.initial_file, image, images);
  if (!o.steps_file.empty()) read_steps(o.steps_file, table, image, images, memory_limit, noise);
  return noise;
}

}  // namespace ito
