// SPDX-License-Identifier: Apache-2.0
// Image operations in integers and fp64, so that the same file gives the same sample on every machine.
#include "engine/io/image.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/io/atomic_file.h"
#include "engine/io/input_file.h"
#include "engine/io/resize.h"
#include "kernels/error.h"

namespace ito {
namespace {

// The source pixels that make one output pixel, and their weights as fixed-point fractions of 2^22: an 8-bit value
// times a weight that sums to one then fits 31 bits.
constexpr int kWeightBits = 22;
struct Taps {
  int first = 0;
  std::vector<int32_t> weights;
};

// A filter over distances in pixels of the coarser image, 0 from `support` on.
struct Filter {
  double support;
  double (*weight)(double distance);
};
constexpr Filter kTriangle = {1, [](double x) { return std::max(0.0, 1 - x); }};
// Keys 1981 ("Cubic Convolution Interpolation for Digital Image Processing", equation 15), whose a is -1/2.
constexpr Filter kCubic = {2, [](double x) {
                             if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
                             return x < 2 ? ((2.5 - 0.5 * x) * x - 4) * x + 2 : 0.0;
                           }};

std::vector<Taps> taps_of(const Filter& filter, int in_size, int out_size) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double stretch = std::max(scale, 1.0), support = stretch * filter.support;  // in source pixels
  std::vector<Taps> all(static_cast<size_t>(out_size));
  for (int i = 0; i < out_size; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int last = std::min(in_size, static_cast<int>(center + support + 0.5));  // one past
    std::vector<double> weights;
    double sum = 0;
    for (int x = first; x < last; ++x) {
      weights.push_back(filter.weight(std::fabs((x + 0.5 - center) / stretch)));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<size_t>(i)];
    taps.first = first;
    for (const double weight : weights)
      taps.weights.push_back(static_cast<int32_t>(std::lrint(weight / sum * (1 << kWeightBits))));
  }
  return all;
}

// What a sum begins with so that the shift rounds, and its 8 bits.
constexpr int32_t kHalf = 1 << (kWeightBits - 1);
uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// One row of pixels, the channels' sums side by side.
template <int kChannels>
void resize_row(const uint8_t* row, const std::vector<Taps>& taps, uint8_t* out) {
  for (const Taps& t : taps) {
    int32_t sums[kChannels];
    std::fill_n(sums, kChannels, kHalf);
    const uint8_t* pixel = row + static_cast<ptrdiff_t>(t.first) * kChannels;
    for (const int32_t weight : t.weights) {
      for (int c = 0; c < kChannels; ++c) sums[c] += weight * pixel[c];
      pixel += kChannels;
    }
    for (int c = 0; c < kChannels; ++c) *out++ = rounded(sums[c]);
  }
}

Image resize_width(const Filter& filter, const Image& image, int width) {
  if (width == image.width) return image;
  ITO_CHECK(image.channels == 1 || image.channels == 3, "resize: ", image.channels, " channels");
  const std::vector<Taps> taps = taps_of(filter, image.width, width);
  Image out(image.height, width, image.channels);
  for (int y = 0; y < out.height; ++y) {
    const uint8_t* row = &image.pixels[image.offset(y, 0, 0)];
    if (image.channels == 3)
      resize_row<3>(row, taps, &out.at(y, 0));
    else
      resize_row<1>(row, taps, &out.at(y, 0));
  }
  return out;
}

// A row of weighted sums of rows: plain loops over all of its bytes, which the compiler makes vectors of.
Image resize_height(const Filter& filter, const Image& image, int height) {
  if (height == image.height) return image;
  const std::vector<Taps> taps = taps_of(filter, image.height, height);
  Image out(height, image.width, image.channels);
  const size_t row = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
  std::vector<int32_t> sums(row);
  for (int y = 0; y < height; ++y) {
    const Taps& t = taps[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), kHalf);
    for (size_t k = 0; k < t.weights.size(); ++k) {
      const int32_t weight = t.weights[k];
      const uint8_t* from = &image.pixels[(static_cast<size_t>(t.first) + k) * row];
      for (size_t i = 0; i < row; ++i) sums[i] += weight * from[i];
    }
    uint8_t* to = &out.pixels[static_cast<size_t>(y) * row];
    for (size_t i = 0; i < row; ++i) to[i] = rounded(sums[i]);
  }
  return out;
}

Image resized(const Filter& filter, const Image& image, int height, int width) {
  ITO_CHECK(height > 0 && width > 0 && !image.pixels.empty(), "resize: from ", image.height, "x", image.width, " to ",
            height, "x", width);
  return resize_height(filter, resize_width(filter, image, width), height);
}

// The size of the image that just covers height x width.
struct Cover {
  int64_t height, width;
};
Cover cover(int64_t image_height, int64_t image_width, int64_t height, int64_t width) {
  if (height * image_width >= width * image_height)
    return {height, std::max(width, height * image_width / image_height)};
  return {std::max(height, width * image_height / image_width), width};
}

}  // namespace

Image read_image(const std::string& path) {
  return decode_image(read_whole_file(path, kMaxImageBytes), path);
}

Image decode_image(std::span<const uint8_t> bytes, const std::string& name) {
  constexpr uint8_t kPng[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  constexpr uint8_t kJpeg[] = {0xff, 0xd8, 0xff};
  if (bytes.size() >= sizeof(kPng) && std::memcmp(bytes.data(), kPng, sizeof(kPng)) == 0)
    return decode_png(bytes, name);
  if (bytes.size() >= sizeof(kJpeg) && std::memcmp(bytes.data(), kJpeg, sizeof(kJpeg)) == 0)
    return decode_jpeg(bytes, name);
  fail<UserError>(name, ": is neither a PNG nor a JPEG image (by its first bytes)");
}

void write_png(const std::string& path, const Image& image) {
  const std::vector<uint8_t> bytes = encode_png(image);
  write_file_atomically(path, bytes.data(), bytes.size());
}

Image resize_bilinear(const Image& image, int height, int width) {
  return resized(kTriangle, image, height, width);
}

Image resize_bicubic(const Image& image, int height, int width) {
  return resized(kCubic, image, height, width);
}

bool covers_closely(int image_height, int image_width, int height, int width) {
  const Cover covering = cover(image_height, image_width, height, width);
  return covering.height <= int64_t{kMaxOverhang} * height && covering.width <= int64_t{kMaxOverhang} * width;
}

Image resize_and_center_crop(const Image& image, int height, int width) {
  ITO_CHECK(height > 0 && width > 0 && image.height > 0 && image.width > 0 &&
                covers_closely(image.height, image.width, height, width),
            "crop: an image of ", image.height, "x", image.width, " to ", height, "x", width);
  const Cover covering = cover(image.height, image.width, height, width);
  const Image covering_image =
      resize_bilinear(image, static_cast<int>(covering.height), static_cast<int>(covering.width));
  if (covering_image.height == height && covering_image.width == width) return covering_image;
  // An odd margin is split towards the even offset (round half to even).
  const int top = static_cast<int>(std::lrint((covering_image.height - height) / 2.0));
  const int left = static_cast<int>(std::lrint((covering_image.width - width) / 2.0));
  Image out(height, width, image.channels);
  const size_t row = static_cast<size_t>(width) * static_cast<size_t>(image.channels);
  for (int y = 0; y < height; ++y)
    std::memcpy(&out.pixels[out.offset(y, 0, 0)], &covering_image.pixels[covering_image.offset(top + y, left, 0)], row);
  return out;
}

// Orientations 5 to 8 exchange rows and columns; the others mirror one axis or both (JEITA CP-3451, tag 0x0112).
Image upright(const Image& stored, int orientation) {
  if (orientation < 2 || orientation > 8) return stored;
  const bool exchanged = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image out(exchanged ? stored.width : stored.height, exchanged ? stored.height : stored.width, stored.channels);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) {
      const int row = exchanged ? x : y, column = exchanged ? y : x;
      const uint8_t* from = &stored.pixels[stored.offset(from_below ? stored.height - 1 - row : row,
                                                         from_right ? stored.width - 1 - column : column, 0)];
      std::copy_n(from, stored.channels, &out.at(y, x));
    }
  return out;
}

Image convert_channels(const Image& image, int channels) {
  if (channels == image.channels) return image;
  ITO_CHECK((channels == 1 && image.channels == 3) || (channels == 3 && image.channels == 1),
            "image: no conversion from ", image.channels, " to ", channels, " channels");
  Image out(image.height, image.width, channels);
  const size_t count = static_cast<size_t>(image.height) * static_cast<size_t>(image.width);
  for (size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      std::fill_n(&out.pixels[3 * i], 3, image.pixels[i]);
    } else {
      const uint8_t* p = &image.pixels[3 * i];
      out.pixels[i] = static_cast<uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
    }
  }
  return out;
}

Image image_grid(const std::vector<Image>& images, int columns, int gap) {
  ITO_CHECK(!images.empty() && columns > 0 && gap >= 0, "image grid: ", images.size(), " images, ", columns,
            " columns, gap ", gap);
  const int count = static_cast<int>(images.size());
  columns = std::min(columns, count);
  const int rows = (count + columns - 1) / columns;
  const Image& first = images[0];
  Image out(rows * (first.height + gap) - gap, columns * (first.width + gap) - gap, first.channels, 255);
  for (int i = 0; i < count; ++i) {
    const Image& image = images[static_cast<size_t>(i)];
    ITO_CHECK(image.height == first.height && image.width == first.width && image.channels == first.channels,
              "image grid: image ", i, " is ", image.height, "x", image.width, "x", image.channels, ", the first is ",
              first.height, "x", first.width, "x", first.channels);
    const int top = i / columns * (first.height + gap), left = i % columns * (first.width + gap);
    const size_t row = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
    for (int y = 0; y < image.height; ++y)
      std::memcpy(&out.pixels[out.offset(top + y, left, 0)], &image.pixels[image.offset(y, 0, 0)], row);
  }
  return out;
}

}  // namespace ito
