// SPDX-License-Identifier: Apache-2.0
// See latent_scale.h.
#include "engine/data/latent_scale.h"

#include <cmath>

#include "engine/io/json_reader.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kScale = "scale", *kShift = "shift", *kApplied = "scaled";

void check(const LatentScale& scale, const std::string& where, int channels) {
  for (const auto& [name, numbers] : {std::pair{kScale, &scale.scale}, {kShift, &scale.shift}}) {
    ITO_USER_CHECK(numbers->size() == static_cast<size_t>(channels), where, ": ", name, " has ", numbers->size(),
                   " numbers for ", channels, " channels; give one for all, or one a channel");
    for (const float value : *numbers)
      ITO_USER_CHECK(std::isfinite(value) && (value > 0 || name == kShift), where, ": ", name, " has ", value,
                     "; expected finite numbers, and a scale above 0");
  }
}

std::vector<float> numbers_of(const SafetensorsFile& file, const char* name, int channels) {
  ITO_USER_CHECK(file.entry(name).shape.size() <= 1, file.path(), ": tensor '", name, "' has the shape ",
                 shape_text(file.entry(name).shape), "; expected one number, or one a channel");
  std::vector<float> numbers = file.read_floats(name);
  if (numbers.size() == 1) numbers.resize(static_cast<size_t>(channels), numbers[0]);
  return numbers;
}

}  // namespace

std::optional<FileScale> read_latent_scale(const SafetensorsFile& file, int channels) {
  if (!file.has(kScale) && !file.has(kShift)) return std::nullopt;
  ITO_USER_CHECK(file.has(kScale), file.path(), ": has a tensor '", kShift, "' and no '", kScale,
                 "'; latents need what they are multiplied by");
  FileScale found{{numbers_of(file, kScale, channels), std::vector<float>(static_cast<size_t>(channels), 0.0f)},
                  file.has(kApplied)};
  if (file.has(kShift)) found.scale.shift = numbers_of(file, kShift, channels);
  check(found.scale, file.path(), channels);
  return found;
}

std::vector<std::pair<std::string, std::vector<float>>> latent_tensors(const LatentScale& scale) {
  return {{kScale, scale.scale}, {kShift, scale.shift}, {kApplied, {1}}};
}

Json json_of(const LatentScale& scale) {
  return {{kScale, scale.scale}, {kShift, scale.shift}};
}

LatentScale latent_scale_of(const Json& json, const std::string& where, int channels) {
  JsonReader reader(json, where);
  std::vector<double> scale, shift;
  reader.read(kScale, scale);
  reader.read(kShift, shift);
  const LatentScale found{{scale.begin(), scale.end()}, {shift.begin(), shift.end()}};
  check(found, where, channels);
  return found;
}

}  // namespace ito
