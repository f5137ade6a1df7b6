// SPDX-License-Identifier: Apache-2.0
// The header is unpacked first and says how much to unpack in all, so a small gzip file cannot fill the memory.
#include "engine/io/idx.h"

#include <zlib.h>

#include <algorithm>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr uint64_t kMaxValues = uint64_t{1} << 36;
constexpr size_t kMaxHeader = 4 + 4 * 4;
constexpr int kUnsignedBytes = 0x08, kLastWhole = 0x0C;  // types

bool is_gzip_at(const std::vector<uint8_t>& bytes, size_t at) {
  return bytes.size() >= at + 2 && bytes[at] == 0x1f && bytes[at + 1] == 0x8b;
}

// Unpacks the first `wanted` bytes, fewer if there are no more; a file may hold several members, one after another.
// With `whole`, the last must end there: the checksums are then verified and nothing may follow.
std::vector<uint8_t> gunzip(const std::vector<uint8_t>& packed, size_t wanted, bool whole, const std::string& path) {
  constexpr size_t kStep = size_t{1} << 30;  // zlib counts in 32 bits
  z_stream stream{};
  ITO_CHECK(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK, path, ": zlib could not start");
  struct End {
    z_stream* stream;
    ~End() { inflateEnd(stream); }
  } end{&stream};
  // One byte more than wanted, so that a longer stream is noticed.
  std::vector<uint8_t> out(wanted + (whole ? 1 : 0));
  size_t read = 0, written = 0;
  int status = Z_OK;
  while (status == Z_OK && written < out.size()) {
    const size_t give = std::min(kStep, packed.size() - read), take = std::min(kStep, out.size() - written);
    stream.next_in = const_cast<Bytef*>(packed.data() + read);
    stream.avail_in = static_cast<uInt>(give);
    stream.next_out = out.data() + written;
    stream.avail_out = static_cast<uInt>(take);
    status = inflate(&stream, Z_NO_FLUSH);
    read += give - stream.avail_in;
    written += take - stream.avail_out;
    if (status == Z_STREAM_END && is_gzip_at(packed, read)) status = inflateReset(&stream);
  }
  ITO_USER_CHECK(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, path,
                 ": is a damaged gzip file: ", stream.msg ? stream.msg : "zlib gives no reason");
  ITO_USER_CHECK(status != Z_BUF_ERROR, path, ": is a gzip file that is cut short");
  ITO_USER_CHECK(!whole || written <= wanted, path, ": holds more than the ", wanted,
                 " bytes that its header announces");
  ITO_USER_CHECK(!whole || read == packed.size(), path, ": has ", packed.size() - read,
                 " bytes after the end of its gzip stream");
  out.resize(written);
  return out;
}

// Bytes of one value; 0 for what is no type of the format.
size_t width_of(int type) {
  switch (type) {
    case 0x08:  // unsigned
    case 0x09:  // signed
      return 1;
    case 0x0B:
      return 2;
    case 0x0C:
    case 0x0D:  // float
      return 4;
    case 0x0E:  // double
      return 8;
    default:
      return 0;
  }
}

bool is_idx_start(const std::vector<uint8_t>& bytes) {
  return bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && width_of(bytes[2]) > 0 && bytes[3] >= 1 &&
         bytes[3] <= 4;
}

struct Header {
  int type = 0;
  std::vector<int64_t> shape;
  size_t bytes = 0;  // its own length
  uint64_t values = 1;
};

Header parse_header(const std::vector<uint8_t>& bytes, const std::string& path) {
  ITO_USER_CHECK(bytes.size() >= 4, path, ": is ", bytes.size(), " bytes long, too short for an IDX file");
  ITO_USER_CHECK(bytes[0] == 0 && bytes[1] == 0, path, ": is not an IDX file (it must begin with two zero bytes)");
  Header header;
  header.type = bytes[2];
  const size_t dimensions = bytes[3];
  ITO_USER_CHECK(width_of(header.type) > 0 && dimensions >= 1 && dimensions <= 4, path, ": holds IDX type ",
                 header.type, " in ", dimensions, " dimensions; expected one of 8, 9, 11 to 14 in 1 to 4");
  header.bytes = 4 + 4 * dimensions;
  ITO_USER_CHECK(bytes.size() >= header.bytes, path, ": ends within its IDX header; the file is cut short");
  for (size_t d = 0; d < dimensions; ++d) {
    const uint8_t* p = &bytes[4 + 4 * d];
    const uint64_t dimension = uint64_t{p[0]} << 24 | uint64_t{p[1]} << 16 | uint64_t{p[2]} << 8 | p[3];
    header.shape.push_back(static_cast<int64_t>(dimension));
    // Both factors are below 2^37, so the product fits before it is compared.
    header.values *= dimension;
    ITO_USER_CHECK(header.values <= kMaxValues && header.values > 0, path, ": its IDX dimensions multiply to ",
                   header.values == 0 ? "0" : "more than 2^36", " values");
  }
  return header;
}

// The values as they are stored. check(header) refuses what the caller has no use for, before anything is unpacked.
template <class Check>
std::vector<uint8_t> read_values(const std::string& path, Header& header, const Check& check) {
  std::vector<uint8_t> bytes = read_whole_file(path);
  const bool packed = is_gzip_at(bytes, 0);
  header = parse_header(packed ? gunzip(bytes, kMaxHeader, false, path) : bytes, path);
  check(header);
  const uint64_t width = width_of(header.type), announced = header.bytes + header.values * width;
  if (packed) {
    // deflate packs at most about 1032 to 1: a header that announces more is lying, whatever memory there is.
    ITO_USER_CHECK(header.values * width / 1100 <= bytes.size(), path, ": announces ", header.values,
                   " values, more than its ", bytes.size(), " packed bytes can hold; it is cut short or damaged");
    bytes = gunzip(bytes, announced, true, path);
  }
  ITO_USER_CHECK(bytes.size() == announced, path, ": holds ", (bytes.size() - header.bytes) / width,
                 " values where its header announces ", header.values, "; it is ",
                 bytes.size() < announced ? "cut short" : "longer than it should be");
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header.bytes));
  return bytes;
}

}  // namespace

IdxArray read_idx(const std::string& path) {
  Header header;
  IdxArray array;
  array.values = read_values(path, header, [&](const Header& h) {
    ITO_USER_CHECK(h.type == kUnsignedBytes, path, ": holds IDX type ", h.type,
                   "; unsigned bytes (8) are read, 0 black and 255 white");
    ITO_USER_CHECK(h.shape.size() != 2, path,
                   ": has 2 dimensions; 1 (labels), 3 (N, H, W) or 4 (N, H, W, C) are expected");
  });
  array.shape = header.shape;
  return array;
}

std::vector<int64_t> read_idx_labels(const std::string& path) {
  Header header;
  const std::vector<uint8_t> bytes = read_values(path, header, [&](const Header& h) {
    ITO_USER_CHECK(h.type <= kLastWhole, path, ": holds IDX type ", h.type, "; labels are whole numbers (8 to 12)");
    ITO_USER_CHECK(h.shape.size() <= 2, path, ": has ", h.shape.size(),
                   " dimensions; labels have 1, or 2 with the class in the first column");
  });
  const auto count = static_cast<size_t>(header.shape[0]);
  const size_t width = width_of(header.type), row = bytes.size() / count;
  std::vector<int64_t> labels;
  for (size_t n = 0; n < count; ++n) {
    const uint8_t* p = &bytes[n * row];
    uint64_t bits = header.type != kUnsignedBytes && p[0] >= 0x80 ? ~uint64_t{0} : 0;  // the sign
    for (size_t i = 0; i < width; ++i) bits = bits << 8 | p[i];
    labels.push_back(static_cast<int64_t>(bits));
  }
  return labels;
}

bool is_idx_file(const std::string& path) {
  std::vector<uint8_t> start = read_file_start(path, 4096);
  if (!is_gzip_at(start, 0)) return is_idx_start(start);
  try {
    return is_idx_start(gunzip(start, 4, false, path));
  } catch (const UserError&) {
    return false;
  }
}

}  // namespace ito
