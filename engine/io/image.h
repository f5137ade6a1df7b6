// SPDX-License-Identifier: Apache-2.0
// 8-bit images: reading PNG and JPEG, writing PNG, and the few operations that turn a photograph into a sample.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ito {

struct Image {
  int height = 0, width = 0, channels = 0;  // channels: 1 grey, 3 RGB
  std::vector<uint8_t> pixels;              // (H, W, C)

  Image() = default;
  Image(int height_, int width_, int channels_, uint8_t fill = 0)
      : height(height_),
        width(width_),
        channels(channels_),
        pixels(static_cast<size_t>(height_) * static_cast<size_t>(width_) * static_cast<size_t>(channels_), fill) {}

  size_t offset(int y, int x, int c) const {
    return (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) *
               static_cast<size_t>(channels) +
           static_cast<size_t>(c);
  }
  uint8_t& at(int y, int x, int c = 0) { return pixels[offset(y, x, c)]; }
  uint8_t at(int y, int x, int c = 0) const { return pixels[offset(y, x, c)]; }
};

// PNG or JPEG, told apart by content. Palettes become RGB, 16-bit samples are scaled to 8 bits, an alpha channel is
// dropped (as the usual training pipelines drop it), and an image whose EXIF data says that the camera was turned is
// turned back. Anything damaged, or beyond kMaxImagePixels, is a one-line UserError.
inline constexpr uint64_t kMaxImagePixels = uint64_t{1} << 27;
Image read_image(const std::string& path);
// The same of a file's bytes, wherever it lies; `name` begins the errors.
Image decode_image(std::span<const uint8_t> bytes, const std::string& name);
inline constexpr uint64_t kMaxImageBytes = uint64_t{1} << 30;  // of a file

// 1 or 3 channels; the file appears whole or not at all. The same image gives the same bytes.
void write_png(const std::string& path, const Image& image);

// Bilinear; when shrinking, the triangle is widened by the factor so that no pixel is skipped (antialiasing).
// Each axis is rounded to 8 bits, horizontal first, as the common image libraries do.
Image resize_bilinear(const Image& image, int height, int width);
// Shrinks or grows the image until it just covers height x width (resize_bilinear), and cuts that out of its centre. An
// image that would leave more than kMaxOverhang times as much outside is no sample of anything, and would need that
// much memory on the way: covers_closely is false for it.
inline constexpr int kMaxOverhang = 64;
bool covers_closely(int image_height, int image_width, int height, int width);
Image resize_and_center_crop(const Image& image, int height, int width);

// Grey to RGB repeats the value; RGB to grey is ITU-R 601 luma, (299 R + 587 G + 114 B) / 1000, rounded.
Image convert_channels(const Image& image, int channels);

// Images of one shape, row by row, `columns` to a row, with `gap` white pixels between neighbours.
Image image_grid(const std::vector<Image>& images, int columns, int gap);

// The image as it is to be looked at, from how EXIF's tag Orientation (1 to 8) says that it is stored.
Image upright(const Image& stored, int orientation);

// The decoders and the encoder, one file each.
Image decode_png(std::span<const uint8_t> bytes, const std::string& name);
Image decode_jpeg(std::span<const uint8_t> bytes, const std::string& name);
std::vector<uint8_t> encode_png(const Image& image);

}  // namespace ito
