// SPDX-License-Identifier: Apache-2.0
// See read_images.h. The first image says how large all are, so that the rest can be put where they belong.
#include "engine/data/read_images.h"

#include <algorithm>
#include <thread>

#include "engine/data/in_threads.h"
#include "engine/io/image.h"
#include "kernels/error.h"

namespace ito {
namespace {

Image read_fitted(const std::string& path, const LoadOptions& options) {
  Image image = read_image(path);
  if (options.channels) image = convert_channels(image, options.channels);
  if (options.height == 0) return image;
  ITO_USER_CHECK(covers_closely(image.height, image.width, options.height, options.width), path, ": is ", image.width,
                 "x", image.height, ", too long to be cut to ", options.width, "x", options.height,
                 "; take it out of the data set");
  return resize_and_center_crop(image, options.height, options.width);
}

void check_like_first(const Dataset& data, const Image& image, const std::string& path) {
  ITO_USER_CHECK(image.height == data.height && image.width == data.width, path, ": is ", image.width, "x",
                 image.height, ", the images before it are ", data.width, "x", data.height,
                 "; give a resolution to bring them to one size");
  ITO_USER_CHECK(image.channels == data.channels, path, ": has ", image.channels,
                 " channels, the images before it have ", data.channels,
                 "; ask for 1 or 3 channels to bring them together");
}

}  // namespace

void read_images(const std::vector<std::string>& paths, const LoadOptions& options, Dataset& data) {
  const auto count = static_cast<int64_t>(paths.size());
  if (options.progress) options.progress->total = count;
  const auto put = [&](int64_t i, const Image& image) {
    check_like_first(data, image, paths[static_cast<size_t>(i)]);
    std::copy(image.pixels.begin(), image.pixels.end(),
              data.pixels.begin() + static_cast<std::ptrdiff_t>(i * data.image_size()));
    if (options.progress) ++options.progress->done;
  };
  const Image first = read_fitted(paths.front(), options);
  check_data_memory(data.name, count, first.pixels.size(), 1, options);
  data.count = static_cast<int>(count);
  data.height = first.height;
  data.width = first.width;
  data.channels = first.channels;
  data.pixels.resize(first.pixels.size() * paths.size());
  put(0, first);
  const int threads = options.threads ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  for_each_in_threads(1, count, std::max(threads, 1),
                      [&](int64_t i) { put(i, read_fitted(paths[static_cast<size_t>(i)], options)); });
}

}  // namespace ito
