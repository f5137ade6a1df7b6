// SPDX-License-Identifier: Apache-2.0
// The list of formats. The first that recognises the name or path loads it: a name before a path, a format told by
// content before one told by its extension.
#include "engine/data/load_dataset.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "engine/io/image.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {

extern const DatasetFormat kFashionMnistFormat;
extern const DatasetFormat kIdxFormat;
extern const DatasetFormat kSafetensorsFormat;
extern const DatasetFormat kCifarFormat;
extern const DatasetFormat kImageFolderFormat;

namespace {

const DatasetFormat* const kFormats[] = {&kFashionMnistFormat, &kIdxFormat, &kSafetensorsFormat, &kCifarFormat,
                                         &kImageFolderFormat};

std::string known_formats() {
  std::string text;
  for (const DatasetFormat* format : kFormats) text += (text.empty() ? "" : ", ") + std::string(format->description);
  return text;
}

}  // namespace

Dataset load_dataset(const std::string& what, const LoadOptions& options) {
  ITO_USER_CHECK(options.channels == 0 || options.channels == 1 || options.channels == 3, "data set ", quote_name(what),
                 ": ", options.channels, " channels asked for; 1 (grey) or 3 (RGB) can be had");
  ITO_USER_CHECK(options.resolution >= 0, "data set ", quote_name(what), ": resolution ", options.resolution,
                 " asked for; a positive number of pixels is expected, or 0 for the images' own");
  for (const DatasetFormat* format : kFormats) {
    if (!format->recognises(what)) continue;
    Dataset data = format->load(what, options);
    data.check();
    return data;
  }
  std::error_code ignored;
  ITO_USER_CHECK(std::filesystem::exists(what, ignored), "data set ", quote_name(what),
                 ": no such name, file or folder", did_you_mean(what, {"fashion-mnist"}));
  fail<UserError>(what, ": is none of the data sets that can be loaded: ", known_formats());
}

void fit_to_options(Dataset& data, const LoadOptions& options) {
  const int size = options.resolution, channels = options.channels ? options.channels : data.channels;
  const bool resize = size != 0 && (data.height != size || data.width != size);
  if (!resize && channels == data.channels) return;
  const int64_t shorter = std::min(data.height, data.width), longer = std::max(data.height, data.width);
  ITO_USER_CHECK(!resize || longer <= kMaxAspect * shorter, data.name, ": images are ", data.width, "x", data.height,
                 ", too long to be cut square; leave out the resolution");
  std::vector<uint8_t> fitted;
  Image image(data.height, data.width, data.channels);
  for (int n = 0; n < data.count; ++n) {
    std::memcpy(image.pixels.data(), &data.pixels[static_cast<size_t>(n * data.image_size())], image.pixels.size());
    const Image converted = convert_channels(image, channels);
    const Image done = resize ? resize_and_center_crop(converted, size) : converted;
    if (n == 0) fitted.reserve(done.pixels.size() * static_cast<size_t>(data.count));
    fitted.insert(fitted.end(), done.pixels.begin(), done.pixels.end());
  }
  data.pixels = std::move(fitted);
  if (resize) data.height = data.width = size;
  data.channels = channels;
}

}  // namespace ito
