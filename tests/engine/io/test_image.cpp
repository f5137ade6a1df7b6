// SPDX-License-Identifier: Apache-2.0
// PNG and JPEG of every kind (written here with the libraries themselves), damage, resizing against a plain fp64 loop.
#include "engine/io/image.h"

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
// clang-format off
#include <jpeglib.h>
// clang-format on

#include "engine/io/resize.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

Image pattern(int height, int width, int channels) {
  Image image(height, width, channels);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 37 + i / 11 * 5);
  return image;
}

std::string as_text(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

// Any PNG that libpng can write: rows are given in the file's own sample layout. Test images: no errors to handle.
std::vector<uint8_t> make_png(int height, int width, int depth, int color_type, std::vector<uint8_t> rows,
                              bool interlaced = false, bool transparent = false) {
  std::vector<uint8_t> out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep data, size_t size) {
        auto* bytes = static_cast<std::vector<uint8_t>*>(png_get_io_ptr(p));
        bytes->insert(bytes->end(), data, data + size);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), depth, color_type,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (color_type == PNG_COLOR_TYPE_PALETTE) {
    const png_color colors[] = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}, {255, 0, 255}};
    const png_byte alphas[] = {0, 128, 255, 255};
    png_set_PLTE(png, info, colors, 4);
    if (transparent) png_set_tRNS(png, info, alphas, 4, nullptr);
  }
  png_write_info(png, info);
  const size_t row_bytes = png_get_rowbytes(png, info);
  std::vector<png_bytep> row_starts;
  for (int y = 0; y < height; ++y) row_starts.push_back(rows.data() + static_cast<size_t>(y) * row_bytes);
  png_write_image(png, row_starts.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::vector<uint8_t> make_jpeg(const Image& image, J_COLOR_SPACE space, int quality) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.input_components = image.channels;
  jpeg.in_color_space = space;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < image.height; ++y) {
    JSAMPROW row = const_cast<JSAMPROW>(&image.pixels[image.offset(y, 0, 0)]);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::vector<uint8_t> out(bytes, bytes + size);
  jpeg_destroy_compress(&jpeg);
  std::free(bytes);
  return out;
}

TEST(Image, PngRoundTrip) {
  TempFolder folder;
  for (const int channels : {1, 3})
    for (const int width : {1, 7, 64}) {
      const Image image = pattern(5, width, channels);
      write_png(folder / "x.png", image);
      const Image back = read_image(folder / "x.png");
      EXPECT_EQ(back.height, 5);
      EXPECT_EQ(back.width, width);
      EXPECT_EQ(back.channels, channels);
      EXPECT_EQ(back.pixels, image.pixels);
      EXPECT_EQ(encode_png(image), encode_png(image));
    }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"x.png"});
}

TEST(Image, EveryKindOfPng) {
  using Bytes = std::vector<uint8_t>;
  const auto pixels = [](const Bytes& png) { return decode_png(png, "x").pixels; };
  EXPECT_EQ(pixels(make_png(1, 3, 1, PNG_COLOR_TYPE_GRAY, {0b10100000})), (Bytes{255, 0, 255}));
  EXPECT_EQ(pixels(make_png(1, 2, 4, PNG_COLOR_TYPE_GRAY, {0x0f})), (Bytes{0, 255}));
  // 16 bits to 8: 65535 -> 255, 0x8080 -> 128, and 0x00ff (255 / 257 = 0.99) rounds to 1, where cutting gives 0.
  EXPECT_EQ(pixels(make_png(1, 3, 16, PNG_COLOR_TYPE_GRAY, {0xff, 0xff, 0x80, 0x80, 0x00, 0xff})),
            (Bytes{255, 128, 1}));
  EXPECT_EQ(pixels(make_png(1, 1, 16, PNG_COLOR_TYPE_RGB, {1, 1, 2, 2, 3, 3})), (Bytes{1, 2, 3}));
  EXPECT_EQ(pixels(make_png(1, 2, 8, PNG_COLOR_TYPE_RGB_ALPHA, {1, 2, 3, 0, 4, 5, 6, 255})), (Bytes{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(pixels(make_png(1, 2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {9, 0, 8, 255})), (Bytes{9, 8}));
  const Bytes palette = {10, 20, 30, 255, 0, 255};
  EXPECT_EQ(pixels(make_png(1, 2, 8, PNG_COLOR_TYPE_PALETTE, {0, 3})), palette);
  EXPECT_EQ(pixels(make_png(1, 2, 2, PNG_COLOR_TYPE_PALETTE, {0b00110000}, false, true)), palette);
  const Image image = pattern(13, 9, 3);
  EXPECT_EQ(pixels(make_png(13, 9, 8, PNG_COLOR_TYPE_RGB, image.pixels, true)), image.pixels);
}

TEST(Image, Jpeg) {
  // A smooth picture at quality 100 without chroma subsampling: the quantiser's steps are 1, so each DCT coefficient is
  // off by at most 1/2 and a pixel by a few levels; the colour conversion adds about 2.
  Image image(16, 24, 3);
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 24; ++x)
      for (int c = 0; c < 3; ++c) image.at(y, x, c) = static_cast<uint8_t>(40 + 5 * y + 3 * x + 20 * c);
  const Image back = decode_jpeg(make_jpeg(image, JCS_RGB, 100), "x");
  ASSERT_EQ(back.channels, 3);
  ASSERT_EQ(back.pixels.size(), image.pixels.size());
  for (size_t i = 0; i < image.pixels.size(); ++i) EXPECT_NEAR(back.pixels[i], image.pixels[i], 4) << i;

  const Image grey = decode_jpeg(make_jpeg(Image(8, 8, 1, 77), JCS_GRAYSCALE, 100), "x");
  EXPECT_EQ(grey.channels, 1);
  EXPECT_EQ(grey.pixels, std::vector<uint8_t>(64, 77));
}

// Where the stored top left and its right neighbour are seen, for each value of the tag; negative: from the end.
TEST(Image, EveryOrientationIsTurnedUpright) {
  struct Expected {
    int orientation, y, x, next_y, next_x;
  };
  constexpr Expected kTable[] = {{1, 0, 0, 0, 1}, {2, 0, -1, 0, -2}, {3, -1, -1, -1, -2}, {4, -1, 0, -1, 1},
                                 {5, 0, 0, 1, 0}, {6, 0, -1, 1, -1}, {7, -1, -1, -2, -1}, {8, -1, 0, -2, 0},
                                 {0, 0, 0, 0, 1}, {9, 0, 0, 0, 1}};
  const Image stored = pattern(3, 5, 3);
  for (const Expected& e : kTable) {
    const Image out = upright(stored, e.orientation);
    const bool exchanged = e.orientation >= 5 && e.orientation <= 8;
    ASSERT_EQ(out.height, exchanged ? 5 : 3) << e.orientation;
    ASSERT_EQ(out.width, exchanged ? 3 : 5) << e.orientation;
    const auto at = [&](int y, int x, int c) {
      return out.at(y < 0 ? out.height + y : y, x < 0 ? out.width + x : x, c);
    };
    for (int c = 0; c < 3; ++c) {
      EXPECT_EQ(at(e.y, e.x, c), stored.at(0, 0, c)) << e.orientation;
      EXPECT_EQ(at(e.next_y, e.next_x, c), stored.at(0, 1, c)) << e.orientation;
    }
  }
}

TEST(Image, ExifOfJpegAndPng) {
  const Image image(16, 8, 1, 50);
  const std::vector<uint8_t> exif{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
  const auto insert = [](std::vector<uint8_t>& to, size_t at, const std::vector<uint8_t>& bytes) {
    to.insert(to.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin(), bytes.end());
  };
  const auto big_endian = [](size_t value) {
    std::vector<uint8_t> bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(value >> shift));
    return bytes;
  };
  std::vector<uint8_t> jpeg = make_jpeg(image, JCS_GRAYSCALE, 100);
  EXPECT_EQ(decode_jpeg(jpeg, "x").width, 8);
  std::vector<uint8_t> marker{0xff, 0xe1, 0, static_cast<uint8_t>(8 + exif.size()), 'E', 'x', 'i', 'f', 0, 0};
  insert(marker, marker.size(), exif);
  insert(jpeg, 2, marker);
  EXPECT_EQ(decode_jpeg(jpeg, "x").width, 16);

  std::vector<uint8_t> chunk{'e', 'X', 'I', 'f'};
  insert(chunk, 4, exif);
  const auto crc = crc32(crc32(0, nullptr, 0), chunk.data(), static_cast<uInt>(chunk.size()));
  insert(chunk, chunk.size(), big_endian(crc));
  insert(chunk, 0, big_endian(exif.size()));
  const std::vector<uint8_t> png = encode_png(image);
  EXPECT_EQ(decode_png(png, "x").width, 8);
  for (const size_t at : {size_t{33}, png.size() - 12}) {  // behind IHDR, and behind the pixels
    std::vector<uint8_t> bytes = png;
    insert(bytes, at, chunk);
    EXPECT_EQ(decode_png(bytes, "x").width, 16) << at;
  }
}

TEST(Image, FormatIsToldByContent) {
  TempFolder folder;
  const std::string path = folder.write("x.png", as_text(make_jpeg(Image(8, 8, 1, 77), JCS_GRAYSCALE, 100)));
  EXPECT_EQ(read_image(path).at(0, 0), 77);
  const std::string text = folder.write("y.png", "GIF89a");
  EXPECT_EQ(message_of([&] { read_image(text); }), text + ": is neither a PNG nor a JPEG image (by its first bytes)");
}

TEST(Image, DamageIsOneLine) {
  const Image image = pattern(16, 16, 3);
  const std::vector<uint8_t> png = encode_png(image), jpeg = make_jpeg(image, JCS_RGB, 90);
  const auto cut = [](std::vector<uint8_t> bytes, size_t length) {
    bytes.resize(length);
    return bytes;
  };
  EXPECT_EQ(message_of([&] { decode_png(cut(png, png.size() / 2), "x.png"); }),
            "x.png: is a damaged PNG image: the file is cut short");
  std::vector<uint8_t> flipped = png;
  flipped[png.size() / 2] ^= 0x10;
  EXPECT_EQ(message_of([&] { decode_png(flipped, "x.png"); }).substr(0, 31), "x.png: is a damaged PNG image: ");
  // A width of 2^30 in a header with a right checksum.
  std::vector<uint8_t> huge = png;
  huge[16] = 0x40;
  const uint32_t crc = static_cast<uint32_t>(crc32(crc32(0, nullptr, 0), &huge[12], 17));
  for (size_t i = 0; i < 4; ++i) huge[29 + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
  EXPECT_EQ(message_of([&] { decode_png(huge, "x.png"); }),
            "x.png: is a PNG image that cannot be read: it has more than 134217728 pixels; make it smaller");

  EXPECT_EQ(message_of([&] { decode_jpeg(cut(jpeg, jpeg.size() / 2), "x.jpg"); }),
            "x.jpg: is a JPEG image that cannot be read: Premature end of JPEG file");
  EXPECT_EQ(message_of([&] {
              decode_jpeg(std::vector<uint8_t>{0xff, 0xd8, 0xff, 0x00}, "x.jpg");
            }).substr(0, 44),
            "x.jpg: is a JPEG image that cannot be read: ");
  EXPECT_EQ(message_of([&] { decode_jpeg(make_jpeg(Image(8, 8, 4), JCS_CMYK, 90), "x.jpg"); }),
            "x.jpg: is a JPEG image that cannot be read: it is in CMYK; convert it to RGB");
}

TEST(Image, NoPrefixIsAcceptedOrCrashes) {
  const Image image = pattern(9, 9, 3);
  const std::vector<uint8_t> png = encode_png(image), jpeg = make_jpeg(image, JCS_RGB, 90);
  for (size_t length = 0; length < png.size(); ++length)
    EXPECT_THROW(decode_png({png.begin(), png.begin() + static_cast<std::ptrdiff_t>(length)}, "x"), UserError)
        << length;
  for (size_t length = 0; length + 2 < jpeg.size(); ++length)
    EXPECT_THROW(decode_jpeg({jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(length)}, "x"), UserError)
        << length;
}

// Damaged bytes give an image or a UserError, never anything else (run under sanitizers, this is the point of it).
TEST(Image, FlippedBytesNeverCrash) {
  const Image image = pattern(9, 9, 3);
  int refused = 0;
  for (const std::vector<uint8_t>& good : {encode_png(image), make_jpeg(image, JCS_RGB, 90)})
    for (size_t i = 0; i < good.size(); ++i)
      for (const int mask : {0x01, 0x80, 0xff}) {
        std::vector<uint8_t> bytes = good;
        bytes[i] ^= static_cast<uint8_t>(mask);
        try {
          bytes[0] == 0xff ? decode_jpeg(bytes, "x") : decode_png(bytes, "x");
        } catch (const UserError&) {
          ++refused;
        }
      }
  EXPECT_GT(refused, 100);
}

double triangle(double x) {
  return std::max(0.0, 1 - x);
}
// Cubic convolution as its polynomials are printed, with a = -1/2.
double cubic(double x) {
  constexpr double a = -0.5;
  if (x < 1) return (a + 2) * std::pow(x, 3) - (a + 3) * x * x + 1;
  return x < 2 ? a * std::pow(x, 3) - 5 * a * x * x + 8 * a * x - 4 * a : 0;
}

// One axis of the definition: weights about the output pixel's centre, stretched by max(scale, 1), and levels cut to
// what they can be.
std::vector<double> plain_resize(const std::vector<double>& values, int out_size, double (*filter)(double)) {
  const double scale = static_cast<double>(values.size()) / out_size, base = std::max(scale, 1.0);
  std::vector<double> out;
  for (int i = 0; i < out_size; ++i) {
    double sum = 0, total = 0;
    for (size_t x = 0; x < values.size(); ++x) {
      const double weight = filter(std::fabs((static_cast<double>(x) + 0.5 - (i + 0.5) * scale) / base));
      sum += weight * values[x];
      total += weight;
    }
    out.push_back(std::clamp(sum / total, 0.0, 255.0));
  }
  return out;
}

TEST(Image, ResizeAgainstPlainLoops) {
  const std::vector<std::pair<int, int>> sizes = {{7, 9}, {32, 3}, {20, 28}, {64, 64}, {1, 1}};
  const Image image = pattern(20, 28, 3);
  // Each of the two passes rounds to a whole level (1/2), the second takes the first's errors by its weights, whose
  // sizes add up to 1, and to at most 5/4 of the cubic; the weights' 22 bits add at most 255 * 40 taps * 2^-23 a pass.
  const auto check = [&](int height, int width, auto resize, double (*filter)(double), double bound) {
    const Image out = resize(image, height, width);
    for (int c = 0; c < 3; ++c) {
      std::vector<std::vector<double>> rows;
      for (int y = 0; y < 20; ++y) {
        std::vector<double> row;
        for (int x = 0; x < 28; ++x) row.push_back(image.at(y, x, c));
        rows.push_back(plain_resize(row, width, filter));
      }
      for (int x = 0; x < width; ++x) {
        std::vector<double> column;
        for (const auto& row : rows) column.push_back(row[static_cast<size_t>(x)]);
        const std::vector<double> wanted = plain_resize(column, height, filter);
        for (int y = 0; y < height; ++y) EXPECT_NEAR(out.at(y, x, c), wanted[static_cast<size_t>(y)], bound);
      }
    }
  };
  for (const auto& [height, width] : sizes) {
    check(height, width, resize_bilinear, triangle, 1.003);
    check(height, width, resize_bicubic, cubic, 1.13);
  }
}

TEST(Image, ResizeKeepsAFlatImageAndTheSameSize) {
  EXPECT_EQ(resize_bilinear(Image(31, 17, 1, 255), 8, 40).pixels, std::vector<uint8_t>(320, 255));
  const Image image = pattern(6, 5, 3);
  EXPECT_EQ(resize_bilinear(image, 6, 5).pixels, image.pixels);
  // Halving: the triangle spans 4 pixels with weights 1 3 3 1 over 8; at the left end 3 3 1 over 7.
  Image line(1, 8, 1);
  line.pixels = {0, 80, 160, 240, 0, 0, 0, 0};
  EXPECT_EQ(resize_bilinear(line, 1, 4).pixels, (std::vector<uint8_t>{57, 160, 30, 0}));
}

TEST(Image, CropTakesTheMiddle) {
  Image image(2, 7, 1);
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 7; ++x) image.at(y, x) = static_cast<uint8_t>(10 * x + y);
  // Margin 5: half is 2.5, rounded to the even 2.
  EXPECT_EQ(resize_and_center_crop(image, 2, 2).pixels, (std::vector<uint8_t>{20, 30, 21, 31}));
  Image tall(7, 1, 1);
  tall.pixels = {0, 1, 2, 3, 4, 5, 6};
  EXPECT_EQ(resize_and_center_crop(tall, 1, 1).pixels, std::vector<uint8_t>{3});
  const Image shrunk = resize_and_center_crop(pattern(40, 61, 3), 16, 16);
  EXPECT_EQ(shrunk.height, 16);
  EXPECT_EQ(shrunk.width, 16);
  EXPECT_THROW(resize_and_center_crop(Image(1, 65, 1), 4, 4), Error);
}

// The image is scaled until it just covers the rectangle: 4 x 8 to 4 x 6 and 2 x 8 need no scaling.
TEST(Image, CropToARectangle) {
  Image image(4, 8, 1);
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 8; ++x) image.at(y, x) = static_cast<uint8_t>(10 * x + y);
  const Image narrower = resize_and_center_crop(image, 4, 6);
  ASSERT_EQ(narrower.width, 6);
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 6; ++x) EXPECT_EQ(narrower.at(y, x), image.at(y, x + 1));
  const Image flatter = resize_and_center_crop(image, 2, 8);
  ASSERT_EQ(flatter.height, 2);
  for (int x = 0; x < 8; ++x) EXPECT_EQ(flatter.at(1, x), image.at(2, x));
  const Image wide = resize_and_center_crop(pattern(32, 32, 3), 8, 16);
  EXPECT_EQ(wide.height, 8);
  EXPECT_EQ(wide.width, 16);
  const Image covering = resize_bilinear(pattern(32, 32, 3), 16, 16);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 16; ++x) EXPECT_EQ(wide.at(y, x, 1), covering.at(y + 4, x, 1));
  EXPECT_TRUE(covers_closely(64, 1, 1, 1));
  EXPECT_FALSE(covers_closely(65, 1, 1, 1));
  EXPECT_TRUE(covers_closely(2, 500, 8, 2000));
}

TEST(Image, Channels) {
  Image grey(1, 2, 1);
  grey.pixels = {3, 250};
  EXPECT_EQ(convert_channels(grey, 3).pixels, (std::vector<uint8_t>{3, 3, 3, 250, 250, 250}));
  EXPECT_EQ(convert_channels(convert_channels(grey, 3), 1).pixels, grey.pixels);
  Image rgb(1, 3, 3);
  rgb.pixels = {255, 0, 0, 0, 255, 0, 0, 0, 255};  // 76.245, 149.685, 29.07
  EXPECT_EQ(convert_channels(rgb, 1).pixels, (std::vector<uint8_t>{76, 150, 29}));
  EXPECT_THROW(convert_channels(Image(1, 1, 4), 3), Error);
}

TEST(Image, Grid) {
  const std::vector<Image> three = {Image(1, 2, 1, 10), Image(1, 2, 1, 20), Image(1, 2, 1, 30)};
  const Image grid = image_grid(three, 2, 1);
  EXPECT_EQ(grid.height, 3);
  EXPECT_EQ(grid.width, 5);
  EXPECT_EQ(grid.pixels, (std::vector<uint8_t>{10, 10, 255, 20, 20, 255, 255, 255, 255, 255, 30, 30, 255, 255, 255}));
  EXPECT_EQ(image_grid(three, 8, 0).width, 6);
  EXPECT_THROW(image_grid({Image(1, 2, 1), Image(2, 1, 1)}, 2, 0), Error);
}

}  // namespace
}  // namespace ito
