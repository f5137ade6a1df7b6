// SPDX-License-Identifier: Apache-2.0
// A safetensors file as a data set: `samples` (N, C, H, W), F32 (or F16, BF16, F64) in [-1, 1] or U8, and optionally
// `labels`: (N) of whole numbers, or of real ones, (N) or (N, numbers of an image). What sampling writes can thus be
// trained or measured on. Latents, another network's codes, come with their `scale` and `shift` (latent_scale.h), which
// are applied here.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/data/file_tree.h"
#include "engine/data/load_dataset.h"
#include "engine/io/layout.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int kSafetensorsCopies = 2;  // as in the file, and as a Dataset has it
constexpr int kCodeChannels = 4;       // and more: no picture has as many, the codes of autoencoders have

bool is_safetensors(const std::string& what) {
  return what.ends_with(".safetensors") && is_file(what);
}

template <class T>
std::vector<T> channels_last(const std::vector<T>& planar, const Dataset& data) {
  return transposed(planar, data.count, data.channels, int64_t{data.height} * data.width);
}

void read_labels(const SafetensorsFile& file, Dataset& data) {
  if (is_float(file.entry("labels").type))
    return take_label_values(data, file.entry("labels").shape, file.read_floats("labels"), file.path() + ": labels");
  file.check_shape("labels", {data.count});
  for (const int64_t label : file.read_i64("labels", true)) {
    ITO_USER_CHECK(label >= 0 && label < std::numeric_limits<int32_t>::max(), file.path(), ": labels: ", label,
                   " is not a class (0, 1, 2, ...)");
    data.labels.push_back(static_cast<int32_t>(label));
  }
}

// Floats are samples already: they are taken as they are, never resized, since the model's range may not be [-1, 1].
void check_options(const Dataset& data, const LoadOptions& options) {
  const bool fits = options.height == 0 || (data.height == options.height && data.width == options.width);
  ITO_USER_CHECK(fits, data.name, ": samples are ", data.height, "x", data.width, " floats, which are not resized; ",
                 options.height, "x", options.width, " was asked for");
  ITO_USER_CHECK(options.channels == 0 || options.channels == data.channels, data.name, ": samples have ",
                 data.channels, " channels of floats, which are not converted; ", options.channels, " were asked for");
}

void scale_latents(const SafetensorsFile& file, Dataset& data) {
  const std::optional<FileScale> found = read_latent_scale(file, data.channels);
  ITO_USER_CHECK(found || data.channels < kCodeChannels, file.path(), ": has samples of ", data.channels,
                 " channels of floats, which are latents, and no tensor 'scale' that they are multiplied by; add it, "
                 "1 for samples that are as the model takes them");
  if (!found) return;
  data.latents = found->scale;
  if (found->applied) return;
  for (size_t i = 0; i < data.pixels_f32.size(); ++i)
    data.pixels_f32[i] = found->scale.scaled(data.pixels_f32[i], i % static_cast<size_t>(data.channels));
}

Dataset load_safetensors(const std::string& what, const LoadOptions& options) {
  const SafetensorsFile file = SafetensorsFile::open(what);
  ITO_USER_CHECK(file.has("samples"), what, ": has no tensor 'samples' of shape (N, C, H, W), so it is no data set");
  const SafetensorsFile::Entry& entry = file.entry("samples");
  const std::vector<int64_t>& shape = entry.shape;
  ITO_USER_CHECK(shape.size() == 4, what, ": tensor 'samples' has ", shape.size(),
                 " dimensions; (N, C, H, W) is expected");
  for (const int64_t dimension : shape)
    ITO_USER_CHECK(dimension > 0 && dimension <= std::numeric_limits<int>::max(), what,
                   ": tensor 'samples' has a dimension of ", dimension);
  Dataset data;
  data.name = what;
  data.count = static_cast<int>(shape[0]);
  data.channels = static_cast<int>(shape[1]);
  data.height = static_cast<int>(shape[2]);
  data.width = static_cast<int>(shape[3]);
  if (file.has("labels")) read_labels(file, data);

  if (entry.type == TensorType::U8) {
    ITO_USER_CHECK(data.channels == 1 || data.channels == 3, what, ": tensor 'samples' is U8 with ", data.channels,
                   " channels; 1 or 3 are expected");
    check_data_memory(what, data.count, static_cast<size_t>(data.image_size()), kSafetensorsCopies, options);
    data.pixels = channels_last(file.read_raw("samples"), data);
    fit_to_options(data, options);
    return data;
  }
  ITO_USER_CHECK(is_float(entry.type), what, ": tensor 'samples' is ", name_of(entry.type),
                 "; expected U8, 0 to 255, or floats in [-1, 1]");
  check_options(data, options);
  check_data_memory(what, data.count, static_cast<size_t>(data.image_size()) * sizeof(float), kSafetensorsCopies,
                    options);
  data.pixels_f32 = channels_last(file.read_floats("samples"), data);
  const auto bad =
      std::find_if(data.pixels_f32.begin(), data.pixels_f32.end(), [](float v) { return !std::isfinite(v); });
  ITO_USER_CHECK(bad == data.pixels_f32.end(), what, ": tensor 'samples' has a value of ", *bad, " in image ",
                 (bad - data.pixels_f32.begin()) / data.image_size());
  scale_latents(file, data);
  return data;
}

}  // namespace

extern const DatasetFormat kSafetensorsFormat;
const DatasetFormat kSafetensorsFormat = {"a safetensors file with a tensor 'samples'", is_safetensors,
                                          load_safetensors};

}  // namespace ito
