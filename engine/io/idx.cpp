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

bool is_gzip(const std::vector<uint8_t>& bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

// Unpacks the first `wanted` bytes, fewer if there are no more. With `whole`, the stream must end there: its checksum
// is then verified and nothing may follow.
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

bool is_idx_start(const std::vector<uint8_t>& bytes) {
  return bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 0x08;
}

// Bytes of the header, with the shape filled in.
size_t parse_header(const std::vector<uint8_t>& bytes, const std::string& path, std::vector<int64_t>& shape) {
  ITO_USER_CHECK(bytes.size() >= 4, path, ": is ", bytes.size(), " bytes long, too short for an IDX file");
  ITO_USER_CHECK(bytes[0] == 0 && bytes[1] == 0, path, ": is not an IDX file (it must begin with two zero bytes)");
  ITO_USER_CHECK(bytes[2] == 0x08, path, ": holds IDX type ", static_cast<int>(bytes[2]),
                 "; only unsigned bytes (8) are read");
  const size_t dimensions = bytes[3];
  ITO_USER_CHECK(dimensions == 1 || dimensions == 3 || dimensions == 4, path, ": has ", dimensions,
                 " dimensions; 1 (labels), 3 (N, H, W) or 4 (N, H, W, C) are expected");
  const size_t header = 4 + 4 * dimensions;
  ITO_USER_CHECK(bytes.size() >= header, path, ": ends within its IDX header; the file is cut short");
  uint64_t values = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    const uint8_t* p = &bytes[4 + 4 * d];
    const uint64_t dimension = uint64_t{p[0]} << 24 | uint64_t{p[1]} << 16 | uint64_t{p[2]} << 8 | p[3];
    shape.push_back(static_cast<int64_t>(dimension));
    // Both factors are below 2^37, so the product fits before it is compared.
    values *= dimension;
    ITO_USER_CHECK(values <= kMaxValues && values > 0, path, ": its IDX dimensions multiply to ",
                   values == 0 ? "0" : "more than 2^36", " values");
  }
  return header;
}

uint64_t product(const std::vector<int64_t>& shape) {
  uint64_t values = 1;
  for (const int64_t dimension : shape) values *= static_cast<uint64_t>(dimension);
  return values;
}

}  // namespace

IdxArray read_idx(const std::string& path) {
  std::vector<uint8_t> bytes = read_whole_file(path);
  const bool packed = is_gzip(bytes);
  IdxArray array;
  const size_t header = parse_header(packed ? gunzip(bytes, kMaxHeader, false, path) : bytes, path, array.shape);
  const uint64_t values = product(array.shape);
  if (packed) {
    // deflate packs at most about 1032 to 1: a header that announces more is lying, whatever memory there is.
    ITO_USER_CHECK(values / 1100 <= bytes.size(), path, ": announces ", values, " values, more than its ", bytes.size(),
                   " packed bytes can hold; it is cut short or damaged");
    bytes = gunzip(bytes, header + values, true, path);
  }
  ITO_USER_CHECK(bytes.size() == header + values, path, ": holds ", bytes.size() - header,
                 " values where its header announces ", values, "; it is ",
                 bytes.size() < header + values ? "cut short" : "longer than it should be");
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
  array.values = std::move(bytes);
  return array;
}

bool is_idx_file(const std::string& path) {
  std::vector<uint8_t> start = read_file_start(path, 4096);
  if (!is_gzip(start)) return is_idx_start(start);
  try {
    return is_idx_start(gunzip(start, 4, false, path));
  } catch (const UserError&) {
    return false;
  }
}

}  // namespace ito
