// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg. As with PNG, a failed call jumps: the owner of the memory is the caller's JpegReader, and the
// functions that jump have plain locals only. Damage that libjpeg would patch over (a cut file) is refused.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <utility>
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "engine/io/exif.h"
#include "engine/io/image.h"
#include "kernels/error.h"

namespace ito {
namespace {

// A Huffman code has at least one bit, and every 8x8 block needs one: a header that announces more is lying.
constexpr uint64_t kMaxPixelsPerByte = 512;
// Encoders write about ten. An empty scan costs the file a few bytes and the reader a pass over all blocks.
constexpr int kMaxScans = 100;
constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr unsigned kLongestMarker = 0xffff;
constexpr char kExifName[] = "Exif\0";  // and the literal's own zero: six bytes before the TIFF header

struct JpegReader {
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
  jpeg_decompress_struct jpeg{};
  Image image;

  JpegReader() = default;
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }
};

[[noreturn]] void leave(j_common_ptr jpeg) {
  auto* reader = static_cast<JpegReader*>(jpeg->client_data);
  if (reader->message[0] == '\0') jpeg->err->format_message(jpeg, reader->message);
  std::longjmp(reader->jump, 1);
}

// Level -1 is a warning about damaged data. Stray bytes between markers and an odd Adobe marker harm no pixel.
void judge_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR) return;
  leave(jpeg);
}

[[noreturn]] void refuse(JpegReader* reader, const char* reason) {
  std::snprintf(reader->message, sizeof(reader->message), "%s", reason);
  leave(reinterpret_cast<j_common_ptr>(&reader->jpeg));
}

void limit_scans(j_common_ptr jpeg) {
  auto* reader = static_cast<JpegReader*>(jpeg->client_data);
  if (reader->jpeg.input_scan_number > kMaxScans) refuse(reader, "it has more than 100 scans");
}

bool read_header(JpegReader* reader, const uint8_t* bytes, size_t count) {
  if (setjmp(reader->jump)) return false;
  jpeg_create_decompress(&reader->jpeg);
  reader->jpeg.progress = &reader->progress;
  reader->progress.progress_monitor = limit_scans;
  jpeg_mem_src(&reader->jpeg, bytes, count);
  jpeg_save_markers(&reader->jpeg, kExifMarker, kLongestMarker);
  jpeg_read_header(&reader->jpeg, TRUE);
  if (reader->jpeg.jpeg_color_space == JCS_CMYK || reader->jpeg.jpeg_color_space == JCS_YCCK)
    refuse(reader, "it is in CMYK; convert it to RGB");
  if (reader->jpeg.arith_code) refuse(reader, "it is arithmetically coded; save it as an ordinary JPEG");
  const uint64_t pixels = uint64_t{reader->jpeg.image_width} * reader->jpeg.image_height;
  if (pixels > kMaxImagePixels) refuse(reader, "it has more than 134217728 pixels; make it smaller");
  if (pixels / kMaxPixelsPerByte > count) refuse(reader, "it is cut short: its size needs more data");
  reader->jpeg.out_color_space = reader->jpeg.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&reader->jpeg);
  return true;
}

bool read_rows(JpegReader* reader) {
  if (setjmp(reader->jump)) return false;
  while (reader->jpeg.output_scanline < reader->jpeg.output_height) {
    JSAMPROW row = &reader->image.at(static_cast<int>(reader->jpeg.output_scanline), 0);
    jpeg_read_scanlines(&reader->jpeg, &row, 1);
  }
  jpeg_finish_decompress(&reader->jpeg);
  return true;
}

int orientation_of(const jpeg_decompress_struct& jpeg) {
  for (const jpeg_marker_struct* m = jpeg.marker_list; m; m = m->next)
    if (m->marker == kExifMarker && m->data_length > sizeof(kExifName) &&
        std::memcmp(m->data, kExifName, sizeof(kExifName)) == 0)
      return exif_orientation(m->data + sizeof(kExifName), m->data_length - sizeof(kExifName));
  return 1;
}

}  // namespace

Image decode_jpeg(std::span<const uint8_t> bytes, const std::string& name) {
  JpegReader reader;
  reader.jpeg.err = jpeg_std_error(&reader.errors);
  reader.jpeg.client_data = &reader;
  reader.errors.error_exit = leave;
  reader.errors.emit_message = judge_message;
  ITO_USER_CHECK(read_header(&reader, bytes.data(), bytes.size()), name,
                 ": is a JPEG image that cannot be read: ", reader.message);
  const int orientation = orientation_of(reader.jpeg);  // the markers go with the end of decompression
  reader.image = Image(static_cast<int>(reader.jpeg.output_height), static_cast<int>(reader.jpeg.output_width),
                       reader.jpeg.output_components);
  ITO_USER_CHECK(read_rows(&reader), name, ": is a JPEG image that cannot be read: ", reader.message);
  return orientation == 1 ? std::move(reader.image) : upright(reader.image, orientation);
}

}  // namespace ito
