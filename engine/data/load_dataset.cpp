// SPDX-License-Identifier: Apache-2.0
// The list of formats. The first that recognises the name or path loads it: a name before a path, a format told by
// content before one told by its extension.
#include "engine/data/load_dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "engine/data/foreign_file.h"
#include "engine/data/value_range.h"
#include "engine/io/image.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {

extern const DatasetFormat kFashionMnistFormat;
extern const DatasetFormat kIdxFormat;
extern const DatasetFormat kPackedFormat;
extern const DatasetFormat kSafetensorsFormat;
extern const DatasetFormat kNpzFormat;
extern const DatasetFormat kZipFormat;
extern const DatasetFormat kTarFormat;
extern const DatasetFormat kCifarFormat;
extern const DatasetFormat kImageFolderFormat;

namespace {

const DatasetFormat* const kFormats[] = {&kFashionMnistFormat, &kIdxFormat, &kPackedFormat,
                                         &kSafetensorsFormat,  &kNpzFormat, &kZipFormat,
                                         &kCifarFormat,        &kTarFormat, &kImageFolderFormat};

std::string known_formats() {
  std::string text;
  for (const DatasetFormat* format : kFormats) text += (text.empty() ? "" : ", ") + std::string(format->description);
  return text;
}

}  // namespace

Dataset load_dataset(const std::string& what, const LoadOptions& options) {
  ITO_USER_CHECK(options.channels == 0 || options.channels == 1 || options.channels == 3, "data set ", quote_name(what),
                 ": ", options.channels, " channels asked for; 1 (grey) or 3 (RGB) can be had");
  ITO_USER_CHECK(options.height >= 0 && options.width >= 0 && (options.height == 0) == (options.width == 0),
                 "data set ", quote_name(what), ": images of ", options.height, "x", options.width,
                 " asked for; positive numbers of pixels are expected, or two zeros for the images' own");
  for (const DatasetFormat* format : kFormats) {
    if (!format->recognises(what)) continue;
    Dataset data = format->load(what, options);
    data.check();
    check_value_range(data);
    return data;
  }
  std::error_code ignored;
  ITO_USER_CHECK(std::filesystem::exists(what, ignored), "data set ", quote_name(what),
                 ": no such name, file or folder", did_you_mean(what, {"fashion-mnist"}));
  const std::string foreign = foreign_file(what);
  ITO_USER_CHECK(foreign.empty(), what, ": is ", foreign);
  fail<UserError>(what, ": is none of the data sets that can be loaded: ", known_formats());
}

void fit_to_options(Dataset& data, const LoadOptions& options) {
  const int channels = options.channels ? options.channels : data.channels;
  const bool resize = options.height != 0 && (data.height != options.height || data.width != options.width);
  if (!resize && channels == data.channels) return;
  ITO_USER_CHECK(!resize || covers_closely(data.height, data.width, options.height, options.width), data.name,
                 ": images are ", data.width, "x", data.height, ", too long to be cut to ", options.width, "x",
                 options.height, "; leave out the resolution");
  std::vector<uint8_t> fitted;
  Image image(data.height, data.width, data.channels);
  for (int n = 0; n < data.count; ++n) {
    std::memcpy(image.pixels.data(), &data.pixels[static_cast<size_t>(n * data.image_size())], image.pixels.size());
    const Image converted = convert_channels(image, channels);
    const Image done = resize ? resize_and_center_crop(converted, options.height, options.width) : converted;
    if (n == 0) {
      check_data_memory(data.name, data.count, image.pixels.size() + done.pixels.size(), 1, options);
      fitted.reserve(done.pixels.size() * static_cast<size_t>(data.count));
    }
    fitted.insert(fitted.end(), done.pixels.begin(), done.pixels.end());
  }
  data.pixels = std::move(fitted);
  if (resize) {
    data.height = options.height;
    data.width = options.width;
  }
  data.channels = channels;
}

void take_label_values(Dataset& data, const std::vector<int64_t>& shape, std::vector<float> values,
                       const std::string& where) {
  constexpr int64_t kMostNumbers = 1 << 16;
  const bool fits =
      (shape.size() == 1 || (shape.size() == 2 && shape[1] >= 1 && shape[1] <= kMostNumbers)) && shape[0] == data.count;
  ITO_USER_CHECK(fits, where, " has shape ", shape_text(shape), "; [", data.count, "] or [", data.count,
                 ", numbers of an image] is expected");
  for (const float value : values)
    ITO_USER_CHECK(std::isfinite(value), where, ": ", value, " is no label; finite numbers are expected");
  data.label_width = shape.size() == 1 ? 1 : static_cast<int>(shape[1]);
  const auto is_class = [](float v) { return v >= 0 && v < 0x1p24f && v == std::floor(v); };
  if (data.label_width == 1 && std::all_of(values.begin(), values.end(), is_class))
    data.labels.assign(values.begin(), values.end());
  data.label_values = std::move(values);
}

void check_data_memory(const std::string& name, int64_t count, size_t bytes, int copies, const LoadOptions& options) {
  const auto rounded_up = [](size_t n) { return (n >> 20) + ((n & ((size_t{1} << 20) - 1)) != 0); };
  size_t all = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(count) * static_cast<size_t>(copies), bytes, &all)) all = SIZE_MAX;
  ITO_USER_CHECK(all <= options.memory_limit, name, ": reading its ", count, " images needs ", rounded_up(all),
                 " MiB, but only ", options.memory_limit >> 20,
                 " MiB are free; take fewer or smaller images, or free some memory");
}

}  // namespace ito
