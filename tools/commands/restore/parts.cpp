// SPDX-License-Identifier: Apache-2.0
// See parts.h.
#include "tools/commands/restore/parts.h"

#include <utility>

#include "engine/io/safetensors.h"

namespace ito {
namespace {

constexpr const char *kSamples = "samples", *kMean = "mean", *kDeviation = "std";

}  // namespace

RestoredImages::RestoredImages(int64_t count_, int draws_, const ImageShape& image_, int64_t first_)
    : first(first_),
      count(count_),
      draws(draws_),
      image(image_),
      samples(static_cast<size_t>(count_ * draws_ * image_.size())),
      mean(static_cast<size_t>(count_ * image_.size())),
      deviation(mean.size()) {}

void RestoredImages::write(const std::string& path, int64_t at, int64_t n) const {
  const std::vector<int64_t> one{n, image.channels, image.height, image.width};
  const auto size = static_cast<size_t>(image.size());
  const auto rows = [&](const std::vector<float>& values, size_t width) {
    return std::span(values).subspan(static_cast<size_t>(at - first) * width, static_cast<size_t>(n) * width);
  };
  SafetensorsWriter writer;
  writer.add(kSamples, {n * draws, image.channels, image.height, image.width},
             rows(samples, static_cast<size_t>(draws) * size));
  writer.add(kMean, one, rows(mean, size));
  writer.add(kDeviation, one, rows(deviation, size));
  writer.write(path);
}

void RestoredImages::read(const std::string& path, int64_t at, int64_t n) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto read_rows = [&](const char* name, std::vector<float>& values, int64_t each) {
    file.check_shape(name, {n * each, image.channels, image.height, image.width});
    const auto width = static_cast<size_t>(each * image.size());
    file.read_f32_into(
        name, std::span(values).subspan(static_cast<size_t>(at - first) * width, static_cast<size_t>(n) * width));
  };
  read_rows(kSamples, samples, draws);
  read_rows(kMean, mean, 1);
  read_rows(kDeviation, deviation, 1);
}

RestoreParts::RestoreParts(const std::string& out, Json settings)
    : folder_(out, {.item = "measurements", .suffix = ".safetensors", .files = {}}, std::move(settings)) {}

std::vector<IndexRange> RestoreParts::load(RestoredImages& images) {
  folder_.claim();
  const std::vector<IndexRange> there = folder_.parts(images.count);
  for (const IndexRange& part : there) read(images, part);
  return there;
}

void RestoreParts::add(const RestoredImages& images, int64_t at, int64_t n) const {
  images.write(folder_.path(IndexRange{at, n}), at, n);
}

void RestoreParts::read(RestoredImages& images, const IndexRange& part) const {
  images.read(folder_.path(part), part.first, part.count);
}

}  // namespace ito
