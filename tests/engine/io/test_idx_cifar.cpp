// SPDX-License-Identifier: Apache-2.0
// IDX and CIFAR-10 files: exact values, both compressions, and each kind of damage with its message.
#include <zlib.h>

#include "engine/io/cifar.h"
#include "engine/io/idx.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

std::string idx_bytes(const std::vector<uint32_t>& shape, const std::string& values, char type = 8) {
  std::string bytes = {0, 0, type, static_cast<char>(shape.size())};
  for (const uint32_t dimension : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(dimension >> shift);
  return bytes + values;
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(Idx, ReadsPlainAndGzipped) {
  TempFolder folder;
  const std::string values = "abcdefghijkl";
  for (const std::vector<uint32_t>& shape : std::vector<std::vector<uint32_t>>{{12}, {3, 2, 2}, {2, 2, 1, 3}}) {
    const std::string bytes = idx_bytes(shape, values);
    for (const std::string& stored : {bytes, gzip(bytes)}) {
      const std::string path = folder.write("x", stored);
      EXPECT_TRUE(is_idx_file(path));
      const IdxArray array = read_idx(path);
      EXPECT_EQ(array.shape, std::vector<int64_t>(shape.begin(), shape.end()));
      EXPECT_EQ(std::string(array.values.begin(), array.values.end()), values);
    }
  }
  EXPECT_FALSE(is_idx_file(folder.write("text", "hello")));
  EXPECT_FALSE(is_idx_file(folder.write("empty", "")));
  EXPECT_FALSE(is_idx_file(folder.write("text.gz", gzip("hello"))));
}

TEST(Idx, DamagedFilesAreRefused) {
  const std::string good = idx_bytes({2, 2, 2}, "12345678");
  const std::string packed = gzip(good);
  std::string bad_checksum = packed;
  bad_checksum[packed.size() - 6] ^= 1;
  const std::string bomb = gzip(idx_bytes({60000, 1000, 1000}, "1"));
  struct Damage {
    std::string bytes, message;
  };
  const std::vector<Damage> table = {
      {"", ": is 0 bytes long, too short for an IDX file"},
      {"hello", ": is not an IDX file (it must begin with two zero bytes)"},
      {idx_bytes({8}, "12345678", 13), ": holds IDX type 13; only unsigned bytes (8) are read"},
      {idx_bytes({2, 4}, "12345678"), ": has 2 dimensions; 1 (labels), 3 (N, H, W) or 4 (N, H, W, C) are expected"},
      {good.substr(0, 10), ": ends within its IDX header; the file is cut short"},
      {good.substr(0, 20), ": holds 4 values where its header announces 8; it is cut short"},
      {good + "9", ": holds 9 values where its header announces 8; it is longer than it should be"},
      {idx_bytes({~0u, ~0u, ~0u}, ""), ": its IDX dimensions multiply to more than 2^36 values"},
      {idx_bytes({0, 2, 2}, ""), ": its IDX dimensions multiply to 0 values"},
      {packed.substr(0, packed.size() - 9), ": is a gzip file that is cut short"},
      {packed.substr(0, 5), ": is a gzip file that is cut short"},
      {bad_checksum, ": is a damaged gzip file: incorrect data check"},
      {packed + "more", ": has 4 bytes after the end of its gzip stream"},
      {gzip(good + "9"), ": holds more than the 24 bytes that its header announces"},
      {gzip(good.substr(0, 20)), ": holds 4 values where its header announces 8; it is cut short"},
      {bomb, ": announces 60000000000 values, more than its " + std::to_string(bomb.size()) +
                 " packed bytes can hold; it is cut short or damaged"},
  };
  TempFolder folder;
  for (const Damage& damage : table) {
    const std::string path = folder.write("x", damage.bytes);
    EXPECT_EQ(message_of([&] { read_idx(path); }), path + damage.message);
  }
}

// Record n: label, then planes whose byte i is (base + i) mod 256.
std::string cifar_record(char label, int base) {
  std::string record(1, label);
  for (int i = 0; i < kCifarPixels; ++i) record += static_cast<char>(base + i * 7);
  return record;
}

TEST(Cifar, InterleavesThePlanes) {
  TempFolder folder;
  const std::string path = folder.write("x.bin", cifar_record(9, 3) + cifar_record(0, 100));
  EXPECT_TRUE(is_cifar_file(path));
  CifarImages images;
  read_cifar_file(path, images);
  EXPECT_EQ(images.labels, (std::vector<int32_t>{9, 0}));
  ASSERT_EQ(images.pixels.size(), 2u * kCifarPixels);
  for (int n = 0; n < 2; ++n)
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x)
        for (int c = 0; c < 3; ++c)
          EXPECT_EQ(images.pixels[static_cast<size_t>(((n * 32 + y) * 32 + x) * 3 + c)],
                    static_cast<uint8_t>((n == 0 ? 3 : 100) + (c * 1024 + y * 32 + x) * 7));
  read_cifar_file(path, images);
  EXPECT_EQ(images.labels.size(), 4u);
}

TEST(Cifar, DamagedFilesAreRefused) {
  TempFolder folder;
  CifarImages images;
  const std::string cut = folder.write("cut.bin", cifar_record(1, 0).substr(0, 3000));
  EXPECT_EQ(message_of([&] { read_cifar_file(cut, images); }),
            cut +
                ": is 3000 bytes long, not a whole number of CIFAR-10 records of 3073 bytes; it is cut short or "
                "another format");
  const std::string label = folder.write("label.bin", cifar_record(1, 0) + cifar_record(10, 0));
  EXPECT_EQ(message_of([&] { read_cifar_file(label, images); }),
            label + ": record 1 has label 10; CIFAR-10 labels are 0 to 9");
  EXPECT_FALSE(is_cifar_file(cut));
  EXPECT_FALSE(is_cifar_file(folder.write("empty.bin", "")));
}

}  // namespace
}  // namespace ito
