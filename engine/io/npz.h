// SPDX-License-Identifier: Apache-2.0
// npz archives: a zip whose members NAME.npy are NumPy arrays (npy.h), stored or deflated. The zip is read by
// zip_archive.h.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/npy.h"
#include "engine/io/zip_archive.h"

namespace ito {

// Begins as a zip does, or is called .npz.
bool is_npz_file(const std::string& path);

class NpzFile {
 public:
  // Opens and reads the directory; an array's own header is read when the array is first asked for. UserError, here
  // and below, in one line that names the file and the array.
  static NpzFile open(const std::string& path);

  const std::string& path() const { return zip_.path(); }
  std::vector<std::string> names() const;  // of the arrays, sorted by bytes
  bool has(const std::string& name) const { return members_.count(name) > 0; }
  NpyHeader header(const std::string& name) const;

  // The checksum is verified. read_doubles: from F64, F32 and F16; read_whole_numbers: from whole numbers of at most
  // 64 bits with a sign, and booleans; read_bytes: from U8.
  std::vector<double> read_doubles(const std::string& name) const;
  std::vector<int64_t> read_whole_numbers(const std::string& name) const;
  std::vector<uint8_t> read_bytes(const std::string& name) const;

 private:
  explicit NpzFile(ZipArchive zip) : zip_(std::move(zip)) {}
  const ZipArchive::Member& member(const std::string& name) const;
  std::string place(const std::string& name) const;  // "FILE: NAME.npy"
  // `first` bytes of a member, or all; then the checksum is verified.
  std::vector<uint8_t> unpack(const std::string& name, uint64_t first) const;
  std::vector<uint8_t> read_data(const std::string& name, NpyHeader& header) const;

  ZipArchive zip_;
  std::map<std::string, ZipArchive::Member> members_;
};

// What an archive is made of; bytes: little-endian, C order, the caller's.
struct NpzArray {
  std::string name;
  TensorType type;
  std::vector<int64_t> shape;
  std::span<const uint8_t> bytes;
};

// Stored, not deflated, whole or not at all; equal arrays give equal bytes. Whatever is larger than 4 GiB, or begins
// behind them, is written by the rules of zip64.
inline constexpr uint64_t kLargestWithoutZip64 = 0xfffffffe;  // bytes of an array and its header
class NpzWriter {
 public:
  // UserError where the path is no regular file's. largest_without_zip64: smaller ones are for tests.
  explicit NpzWriter(const std::string& path, uint64_t largest_without_zip64 = kLargestWithoutZip64);
  ~NpzWriter();
  NpzWriter(const NpzWriter&) = delete;
  NpzWriter& operator=(const NpzWriter&) = delete;

  void begin(const std::string& name, TensorType type, const std::vector<int64_t>& shape);  // of the next array
  void write(std::span<const uint8_t> bytes);  // of the array that was begun, as many as its shape says in the end
  void commit();

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

void write_npz(const std::string& path, const std::vector<NpzArray>& arrays);

}  // namespace ito
