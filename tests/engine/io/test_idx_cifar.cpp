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
      {idx_bytes({1, 1, 2}, "12345678", 13), ": holds IDX type 13; unsigned bytes (8) are read, 0 black and 255 white"},
      {idx_bytes({1}, "1", 10), ": holds IDX type 10 in 1 dimensions; expected one of 8, 9, 11 to 14 in 1 to 4"},
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

// Parallel compressors write a file in pieces, and cat joins files: members are read one after another, wherever the
// data is cut, an empty one among them.
TEST(Idx, GzipOfSeveralMembers) {
  TempFolder folder;
  const std::string bytes = idx_bytes({4, 2, 2}, "abcdefghijklmnop");
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const std::string path = folder.write("x", gzip(bytes.substr(0, cut)) + gzip("") + gzip(bytes.substr(cut)));
    EXPECT_TRUE(is_idx_file(path)) << cut;
    const IdxArray array = read_idx(path);
    EXPECT_EQ(std::string(array.values.begin(), array.values.end()), "abcdefghijklmnop") << cut;
  }
  const std::string cut_short = folder.write("cut", gzip(bytes.substr(0, 20)) + gzip(bytes.substr(20)).substr(0, 12));
  EXPECT_EQ(message_of([&] { read_idx(cut_short); }), cut_short + ": is a gzip file that is cut short");
  const std::string longer = folder.write("long", gzip(bytes) + gzip("x"));
  EXPECT_EQ(message_of([&] { read_idx(longer); }), longer + ": holds more than the 32 bytes that its header announces");
}

TEST(Idx, LabelsOfEveryWidth) {
  TempFolder folder;
  const auto read = [&](const std::string& bytes) { return read_idx_labels(folder.write("x", bytes)); };
  using Labels = std::vector<int64_t>;
  EXPECT_EQ(read(idx_bytes({2}, {3, '\xff'})), (Labels{3, 255}));
  EXPECT_EQ(read(idx_bytes({2}, {3, '\xff'}, 9)), (Labels{3, -1}));
  EXPECT_EQ(read(idx_bytes({2}, {1, 2, '\xff', '\xfe'}, 11)), (Labels{258, -2}));
  // The first of three columns.
  std::string columns(24, '\7');
  columns.replace(0, 4, {0, 0, 1, 0});
  columns.replace(12, 4, {0, 0, 0, 9});
  EXPECT_EQ(read(idx_bytes({2, 3}, columns, 12)), (Labels{256, 9}));
  EXPECT_EQ(message_of([&] { read(idx_bytes({1}, "1234", 13)); }),
            (folder / "x") + ": holds IDX type 13; labels are whole numbers (8 to 12)");
  EXPECT_EQ(message_of([&] {
              read(idx_bytes({1, 1, 1}, "1"));
            }),
            (folder / "x") + ": has 3 dimensions; labels have 1, or 2 with the class in the first column");
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
  CifarImages images;
  read_cifar_file(path, kCifar10, images);
  EXPECT_EQ(images.labels, (std::vector<int32_t>{9, 0}));
  ASSERT_EQ(images.pixels.size(), 2u * kCifarPixels);
  for (int n = 0; n < 2; ++n)
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x)
        for (int c = 0; c < 3; ++c)
          EXPECT_EQ(images.pixels[static_cast<size_t>(((n * 32 + y) * 32 + x) * 3 + c)],
                    static_cast<uint8_t>((n == 0 ? 3 : 100) + (c * 1024 + y * 32 + x) * 7));
  read_cifar_file(path, kCifar10, images);
  EXPECT_EQ(images.labels.size(), 4u);
}

TEST(Cifar, HundredHasTwoLabels) {
  TempFolder folder;
  const std::string path = folder.write("x.bin", std::string(1, '\7') + cifar_record(99, 3));
  CifarImages images;
  read_cifar_file(path, kCifar100, images);
  EXPECT_EQ(images.labels, std::vector<int32_t>{99});
  EXPECT_EQ(images.pixels[0], 3);
  EXPECT_EQ(images.pixels[1], static_cast<uint8_t>(3 + 1024 * 7));
}

TEST(Cifar, DamagedFilesAreRefused) {
  TempFolder folder;
  CifarImages images;
  const std::string cut = folder.write("cut.bin", cifar_record(1, 0).substr(0, 3000));
  EXPECT_EQ(message_of([&] { read_cifar_file(cut, kCifar10, images); }),
            cut +
                ": is 3000 bytes long, not a whole number of CIFAR-10 records of 3073 bytes; it is cut short or "
                "another format");
  const std::string label = folder.write("label.bin", cifar_record(1, 0) + cifar_record(10, 0));
  EXPECT_EQ(message_of([&] { read_cifar_file(label, kCifar10, images); }),
            label + ": record 1 has label 10; CIFAR-10 labels are 0 to 9");
  const std::string fine = folder.write("fine.bin", std::string(1, '\7') + cifar_record(100, 0));
  EXPECT_EQ(message_of([&] { read_cifar_file(fine, kCifar100, images); }),
            fine + ": record 0 has label 100; CIFAR-100 labels are 0 to 99");
}

}  // namespace
}  // namespace ito
