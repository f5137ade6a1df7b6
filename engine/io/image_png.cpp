// SPDX-License-Identifier: Apache-2.0
// PNG through libpng. libpng leaves a failed call by longjmp, which must not jump over C++ objects: everything that
// owns memory lives in PngReader, which the caller destroys, and the functions that jump have plain locals only.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "engine/io/exif.h"
#include "engine/io/image.h"
#include "kernels/error.h"

namespace ito {
namespace {

// deflate packs at most about 1032 to 1: a header that announces more than this is lying.
constexpr uint64_t kMaxRowPacking = 1100;
constexpr png_byte kExifChunk[] = "eXIf";

struct PngReader {
  const uint8_t* next = nullptr;
  size_t left = 0;
  char message[160] = "out of memory";
  const char* verdict = ": is a damaged PNG image: ";  // what comes before the message
  png_structp png = nullptr;
  png_infop info = nullptr;
  Image image;
  std::vector<png_bytep> rows;

  PngReader() = default;
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void keep_error(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(reader->message, sizeof(reader->message), "%s", message);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void give_bytes(png_structp png, png_bytep out, size_t bytes) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (bytes > reader->left) png_error(png, "the file is cut short");
  std::memcpy(out, reader->next, bytes);
  reader->next += bytes;
  reader->left -= bytes;
}

// Of an image that is whole, but not one for us.
[[noreturn]] void refuse(PngReader* reader, const char* reason) {
  reader->verdict = ": is a PNG image that cannot be read: ";
  png_error(reader->png, reason);
}

// Reads the header and asks for 8-bit grey or RGB. Returns false on an error, which is then in reader->message.
bool read_header(PngReader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_set_read_fn(reader->png, reader, give_bytes);
  // Texts, profiles and the like are neither unpacked nor kept: each could be 8 MB in a few kB of file.
  png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  // EXIF data is kept as a chunk unknown to libpng: its own reader allocates whatever length the chunk announces.
  png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_ALWAYS, kExifChunk, 1);
  png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the product is what counts, below
  png_read_info(reader->png, reader->info);
  const uint64_t pixels =
      uint64_t{png_get_image_width(reader->png, reader->info)} * png_get_image_height(reader->png, reader->info);
  if (pixels > kMaxImagePixels) refuse(reader, "it has more than 134217728 pixels; make it smaller");
  const uint64_t packed_rows =
      uint64_t{png_get_image_height(reader->png, reader->info)} * png_get_rowbytes(reader->png, reader->info);
  if (packed_rows / kMaxRowPacking > reader->left) png_error(reader->png, "it is cut short: its size needs more data");
  png_set_expand(reader->png);  // palettes to RGB, 1 to 4 bits to 8, transparency to an alpha channel
  png_set_scale_16(reader->png);
  png_set_strip_alpha(reader->png);
  png_set_interlace_handling(reader->png);
  png_read_update_info(reader->png, reader->info);
  return true;
}

bool read_rows(PngReader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_read_image(reader->png, reader->rows.data());
  png_read_end(reader->png, reader->info);  // EXIF data may stand behind the pixels
  return true;
}

int orientation_of(const PngReader& reader) {
  png_unknown_chunkp kept = nullptr;  // EXIF chunks alone
  const int chunks = png_get_unknown_chunks(reader.png, reader.info, &kept);
  return chunks > 0 ? exif_orientation(kept[0].data, kept[0].size) : 1;
}

}  // namespace

Image decode_png(std::span<const uint8_t> bytes, const std::string& name) {
  PngReader reader;
  reader.next = bytes.data();
  reader.left = bytes.size();
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, keep_error, ignore_warning);
  if (reader.png) reader.info = png_create_info_struct(reader.png);
  ITO_CHECK(reader.info, name, ": libpng could not start: ", reader.message);
  ITO_USER_CHECK(read_header(&reader), name, reader.verdict, reader.message);

  const int channels = png_get_channels(reader.png, reader.info);
  reader.image = Image(static_cast<int>(png_get_image_height(reader.png, reader.info)),
                       static_cast<int>(png_get_image_width(reader.png, reader.info)), channels);
  const size_t row_bytes = static_cast<size_t>(reader.image.width) * static_cast<size_t>(channels);
  ITO_CHECK((channels == 1 || channels == 3) && png_get_rowbytes(reader.png, reader.info) == row_bytes, name,
            ": unexpected PNG layout of ", channels, " channels");
  for (int y = 0; y < reader.image.height; ++y) reader.rows.push_back(&reader.image.at(y, 0));
  ITO_USER_CHECK(read_rows(&reader), name, reader.verdict, reader.message);
  const int orientation = orientation_of(reader);
  return orientation == 1 ? std::move(reader.image) : upright(reader.image, orientation);
}

std::vector<uint8_t> encode_png(const Image& image) {
  ITO_CHECK((image.channels == 1 || image.channels == 3) && image.height > 0 && image.width > 0, "png: an image of ",
            image.height, "x", image.width, "x", image.channels, " cannot be written; 1 or 3 channels are expected");
  png_image description{};  // libpng's simple interface: no jumps
  description.version = PNG_IMAGE_VERSION;
  description.width = static_cast<png_uint_32>(image.width);
  description.height = static_cast<png_uint_32>(image.height);
  description.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(description);
  std::vector<uint8_t> out(bytes);
  ITO_CHECK(png_image_write_to_memory(&description, out.data(), &bytes, 0, image.pixels.data(), 0, nullptr),
            "png: the image cannot be encoded: ", description.message);
  out.resize(bytes);
  return out;
}

}  // namespace ito
