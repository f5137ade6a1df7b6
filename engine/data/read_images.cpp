// SPDX-License-Identifier: Apache-2.0
// See read_images.h. The first image says how large all are, so that the rest can be put where they belong.
#include "engine/data/read_images.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "engine/data/in_threads.h"
#include "engine/io/hash.h"
#include "engine/io/image.h"
#include "kernels/error.h"

namespace ito {
namespace {

// Files whose bytes are part of the listing's hash; of all others it knows name and size.
constexpr int64_t kHashedFiles = 64;

Image read_fitted(const EncodedImages& images, int64_t index, const LoadOptions& options) {
  static thread_local std::vector<uint8_t> room;
  const std::string name = images.name(index);
  Image image = decode_image(images.bytes(index, room), name);
  if (options.channels) image = convert_channels(image, options.channels);
  if (options.height == 0) return image;
  ITO_USER_CHECK(covers_closely(image.height, image.width, options.height, options.width), name, ": is ", image.width,
                 "x", image.height, ", too long to be cut to ", options.width, "x", options.height,
                 "; take it out of the data set");
  return resize_and_center_crop(image, options.height, options.width);
}

struct DecodedShape {
  int height, width, channels;
};

void check_like_first(const DecodedShape& first, const Image& image, const EncodedImages& images, int64_t index) {
  if (image.height == first.height && image.width == first.width && image.channels == first.channels) return;
  const std::string name = images.name(index);
  ITO_USER_CHECK(image.height == first.height && image.width == first.width, name, ": is ", image.width, "x",
                 image.height, ", the images before it are ", first.width, "x", first.height,
                 "; give a resolution to bring them to one size");
  fail<UserError>(name, ": has ", image.channels, " channels, the images before it have ", first.channels,
                  "; ask for 1 or 3 channels to bring them together");
}

// Decodes an image when it is asked for.
class DecodedImages : public ImageSource {
 public:
  DecodedImages(std::shared_ptr<const EncodedImages> images, const LoadOptions& options, const DecodedShape& shape)
      : images_(std::move(images)), options_(options), shape_(shape) {
    options_.progress = nullptr;
  }
  void read(int64_t index, uint8_t* out) const override {
    const Image image = read_fitted(*images_, index, options_);
    check_like_first(shape_, image, *images_, index);
    std::copy(image.pixels.begin(), image.pixels.end(), out);
  }

 private:
  std::shared_ptr<const EncodedImages> images_;
  LoadOptions options_;
  DecodedShape shape_;
};

uint64_t hash_of_listing(const EncodedImages& images, const Dataset& data) {
  uint64_t hash = kHashStart;
  for (const int size : {data.count, data.height, data.width, data.channels})
    hash = hash_word(hash, static_cast<uint64_t>(size));
  hash = hash_bytes(hash, data.labels.data(), data.labels.size() * sizeof(int32_t));
  const int64_t count = images.count(), step = std::max<int64_t>(1, count / kHashedFiles);
  std::vector<uint8_t> room;
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = images.listed_name(i);
    hash = hash_bytes(hash_word(hash, images.stored_bytes(i)), name.data(), name.size());
    if (i % step != 0) continue;
    const std::span<const uint8_t> bytes = images.bytes(i, room);
    hash = hash_bytes(hash, bytes.data(), bytes.size());
  }
  return hash ? hash : 1;
}

}  // namespace

void read_images(std::shared_ptr<const EncodedImages> images, const LoadOptions& options, Dataset& data) {
  const int64_t count = images->count();
  ITO_USER_CHECK(count <= std::numeric_limits<int>::max(), data.name, ": holds ", count, " images; at most ",
                 std::numeric_limits<int>::max(), " can be counted");
  const Image first = read_fitted(*images, 0, options);
  const DecodedShape shape{first.height, first.width, first.channels};
  data.count = static_cast<int>(count);
  data.height = first.height;
  data.width = first.width;
  data.channels = first.channels;
  size_t all = 0;
  const bool fits = !__builtin_mul_overflow(first.pixels.size(), static_cast<size_t>(count), &all) &&
                    all <= options.memory_limit && !options.stream;
  if (!fits) {
    data.listing_hash = hash_of_listing(*images, data);
    data.source = std::make_shared<DecodedImages>(std::move(images), options, shape);
    return;
  }
  if (options.progress) options.progress->total = count;
  data.pixels.resize(all);
  const auto put = [&](int64_t i, const Image& image) {
    check_like_first(shape, image, *images, i);
    std::copy(image.pixels.begin(), image.pixels.end(),
              data.pixels.begin() + static_cast<std::ptrdiff_t>(i * data.image_size()));
    if (options.progress) ++options.progress->done;
  };
  put(0, first);
  const int threads = options.threads ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  for_each_in_threads(1, count, std::max(threads, 1), [&](int64_t i) { put(i, read_fitted(*images, i, options)); });
  data.listing_hash = hash_of_listing(*images, data);
}

}  // namespace ito
