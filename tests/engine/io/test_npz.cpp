// SPDX-License-Identifier: Apache-2.0
// npz archives: what is written is read again, what NumPy and zip programs write is read, damage is refused in one
// line.
#include "engine/io/npz.h"

#include <functional>

#include "tests/engine/io/archive_bytes.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

// An array with a header that need not be right.
std::string npy(const std::string& dictionary, const std::string& data, int version = 1) {
  return "\x93NUMPY" + std::string{static_cast<char>(version), 0} +
         little_endian(dictionary.size(), version == 1 ? 2 : 4) + dictionary + data;
}

std::string dictionary(const std::string& descr, const std::string& shape, const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
}

const std::string kSix = "\1\2\3\4\5\6";

TEST(Npz, WhatIsWrittenIsReadAgain) {
  const TempFolder folder;
  const std::string path = folder / "a.npz";
  const Bytes pixels = bytes_of(kSix);
  const std::vector<int64_t> labels{-3, int64_t{1} << 40};
  const std::vector<double> mean{0.1, -2.5e300, 0};
  const auto raw = [](const auto& values) {
    return std::span(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(values[0]));
  };
  const std::vector<NpzArray> arrays{{"arr_0", TensorType::U8, {1, 2, 3, 1}, pixels},
                                     {"arr_1", TensorType::I64, {2}, raw(labels)},
                                     {"mu", TensorType::F64, {3}, raw(mean)},
                                     {"none", TensorType::F32, {0, 4}, {}}};
  write_npz(path, arrays);
  const NpzFile file = NpzFile::open(path);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"arr_0", "arr_1", "mu", "none"}));
  EXPECT_EQ(file.header("arr_0").shape, (std::vector<int64_t>{1, 2, 3, 1}));
  EXPECT_EQ(file.read_bytes("arr_0"), pixels);
  EXPECT_EQ(file.read_whole_numbers("arr_1"), labels);
  EXPECT_EQ(file.read_doubles("mu"), mean);
  EXPECT_EQ(file.read_doubles("none"), std::vector<double>{});
  EXPECT_TRUE(is_npz_file(path));
  const std::string first = read_bytes(path);
  write_npz(path, arrays);
  EXPECT_EQ(read_bytes(path), first);  // no time, no place
  // As NumPy writes it, so that what follows the header begins at a multiple of 64.
  EXPECT_EQ(npy_header(TensorType::U8, {1, 2, 3, 1}).substr(10),
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 3, 1), }" + std::string(52, ' ') + "\n");
  EXPECT_NE(npy_header(TensorType::I64, {2}).find("'<i8', 'fortran_order': False, 'shape': (2,), }"),
            std::string::npos);
}

// As an array of more than 4 GiB is written, by a smaller bound, and in pieces.
TEST(Npz, LargeArraysAreZip64) {
  const TempFolder folder;
  const std::string path = folder / "large.npz";
  NpzWriter writer(path, 128);
  writer.begin("arr_0", TensorType::U8, {1, 2, 3, 1});
  for (const uint8_t byte : bytes_of(kSix)) writer.write({&byte, 1});
  EXPECT_THROW(writer.write(bytes_of(kSix)), Error);
  writer.begin("arr_1", TensorType::U8, {0});
  writer.commit();
  // Behind a member's name: room for the sizes in 64 bits, where minizip puts them if they need it.
  const std::string text = read_bytes(path), large = little_endian(1, 2) + little_endian(16, 2);
  EXPECT_EQ(text.find("arr_0.npy" + large), 30u);
  EXPECT_EQ(text.find("arr_1.npy" + large), std::string::npos) << "its header alone is just small enough";
  const NpzFile file = NpzFile::open(path);
  EXPECT_EQ(file.read_bytes("arr_0"), bytes_of(kSix));
  EXPECT_EQ(file.read_bytes("arr_1"), Bytes{});
  {
    NpzWriter unfinished(folder / "unfinished.npz");
    unfinished.begin("arr_0", TensorType::U8, {7});
    unfinished.write(bytes_of(kSix));
    EXPECT_THROW(unfinished.commit(), Error);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / ""), {}), 1) << "nothing half written";
}

TEST(Npz, ReadsEveryTypeStoredAndDeflated) {
  const TempFolder folder;
  struct Case {
    std::string descr, data;
    double value;
  };
  const std::vector<Case> floats{{"<f8", little_endian(0x3FF8000000000000u, 8), 1.5},
                                 {"<f4", little_endian(0xBFC00000u, 4), -1.5},
                                 {"<f2", little_endian(0x3E00u, 2), 1.5}};
  const std::vector<Case> whole{{"<i8", std::string(8, '\xff'), -1},
                                {"<i4", std::string(4, '\xfe'), -16843010},
                                {"<i2", "\1\x80", -32767},
                                {"|i1", "\x80", -128},
                                {"<u4", std::string(4, '\xff'), 4294967295.0},
                                {"<u2", "\xff\xff", 65535},
                                {"|u1", "\xff", 255},
                                {"|b1", "\1", 1}};
  const auto read = [&](const std::string& packed, int method, const std::string& whole_array) {
    const ZipMember member{"x.npy", packed, whole_array.size(), checksum(whole_array), method};
    return NpzFile::open(folder.write("x.npz", zip({member})));
  };
  for (const int version : {1, 2, 3}) {
    for (const Case& c : floats) {
      const std::string array = npy(dictionary(c.descr, "(1,)"), c.data, version);
      EXPECT_EQ(read(array, 0, array).read_doubles("x"), std::vector<double>{c.value}) << c.descr;
      EXPECT_EQ(read(deflated(array), 8, array).read_doubles("x"), std::vector<double>{c.value}) << c.descr;
    }
    for (const Case& c : whole) {
      const std::string array = npy(dictionary(c.descr, "()"), c.data, version);
      EXPECT_EQ(read(deflated(array), 8, array).read_whole_numbers("x"),
                std::vector<int64_t>{static_cast<int64_t>(c.value)})
          << c.descr;
    }
  }
}

// A vector has no order of its own, and members that are no arrays are none of ours.
TEST(Npz, PassesOverWhatDoesNotMatter) {
  const TempFolder folder;
  const std::string column = npy(dictionary("|u1", "(6, 1)", "True"), kSix);
  const NpzFile file = NpzFile::open(folder.write(
      "x.npz", zip({stored("readme.txt", "hello"), stored("pickled.npy", "\x80\4"), stored("x.npy", column)})));
  EXPECT_EQ(file.names(), (std::vector<std::string>{"pickled", "x"}));
  EXPECT_EQ(file.read_bytes("x"), bytes_of(kSix));
}

TEST(Npz, DamageIsRefusedInOneLine) {
  const TempFolder folder;
  const std::string path = folder / "x.npz", at = path + ": x.npy: ";
  const std::string good = npy(dictionary("|u1", "(2, 3)"), kSix);
  const auto of = [](const std::string& array) { return zip({stored("x.npy", array)}); };
  const auto changed = [&](const std::function<void(ZipMember&)>& change) {
    ZipMember member = stored("x.npy", good);
    change(member);
    return zip({member});
  };
  const auto header = [&](const std::string& text) { return of(npy(text, kSix)); };
  const std::string damaged = at + "its header is damaged ";
  struct Row {
    const char* name;
    std::string file, expected;
  };
  const std::vector<Row> rows{
      {"nothing", "", path + ": is no zip archive, or one that is empty or cut short"},
      {"text", "hello, world", path + ": is no zip archive, or one that is empty or cut short"},
      {"cut", of(good).substr(0, of(good).size() - 30),
       path + ": is no zip archive, or one that is empty or cut short"},
      {"no members", zip({}), path + ": is no zip archive, or one that is empty or cut short"},
      {"no arrays", zip({stored("x.txt", "x")}), path + ": has no array x; it has none"},
      {"another array", zip({stored("y.npy", good)}), path + ": has no array x; it has 'y'"},
      {"twice", zip({stored("x.npy", good), stored("x.npy", good)}), at + "is there twice"},
      {"encrypted", changed([](ZipMember& m) { m.flags = 1; }),
       at + "is encrypted; write the archive without a password"},
      {"method", changed([](ZipMember& m) { m.method = 12; }),
       at + "is packed by method 12 of zip; expected stored (0) or deflated (8)"},
      {"checksum", changed([](ZipMember& m) { m.crc ^= 1; }), at + "its checksum is wrong; it is damaged"},
      {"sizes differ", changed([](ZipMember& m) { m.unpacked += 1; }),
       at + "announces " + std::to_string(good.size() + 1) + " bytes, which its " + std::to_string(good.size()) +
           " packed ones cannot hold; it is damaged"},
      {"unpacks to a flood", changed([](ZipMember& m) {
         m.packed = deflated(m.packed);
         m.method = 8;
         m.unpacked = 0xfffffff0;
       }),
       at + "announces 4294967280 bytes, which its " + std::to_string(good.size() + 5) +
           " packed ones cannot hold; it is damaged"},
      {"deflated and cut", changed([](ZipMember& m) {
         m.packed = deflated(m.packed).substr(0, 70);
         m.method = 8;
       }),
       at + "is damaged, or cut short after 0 of " + std::to_string(good.size()) + " bytes"},
      {"deflated and damaged", changed([](ZipMember& m) {
         m.packed = "\x07" + m.packed;
         m.method = 8;
       }),
       at + "is damaged, or cut short after 0 of " + std::to_string(good.size()) + " bytes"},
      {"not an array", of("hello, world!"), at + "is no NumPy array (it must begin with \\x93NUMPY)"},
      {"array cut in its start", of("\x93NUMPY\1"), at + "ends within its header; it is cut short"},
      {"array cut in its header", of(good.substr(0, 40)), at + "ends within its header; it is cut short"},
      {"array cut", of(good.substr(0, good.size() - 2)),
       at + "holds 4 bytes of numbers where its header announces 6; it is cut short"},
      {"array too long", of(good + "x"),
       at + "holds 7 bytes of numbers where its header announces 6; it is longer than it should be"},
      {"version", of(npy(dictionary("|u1", "(6,)"), kSix, 4)), at + "is version 4 of the format; expected 1 to 3"},
      {"long header", of("\x93NUMPY\2" + std::string(1, '\0') + little_endian(1 << 20, 4)),
       at + "announces a header of 1048576 bytes; expected at most 65536"},
      {"no dictionary", header("[1, 2]"), damaged + "(no '{' where one belongs)"},
      {"no comma", header("{'descr': '|u1' 'shape': (6,)}"), damaged + "(no ',' where one belongs)"},
      {"no end", header("{'descr': '|u1', 'fortran_order': False, 'shape': (6,)"),
       damaged + "(no ',' where one belongs)"},
      {"more behind", header(dictionary("|u1", "(6,)") + "}"), damaged + "(something stands behind the dictionary)"},
      {"a key of number", header("{1: 2}"), damaged + "(a key is no text)"},
      {"a missing key", header("{'descr': '|u1', 'shape': (6,)}"),
       at + "its header lacks a key; expected descr, fortran_order and shape"},
      {"a key twice", header("{'shape': (6,), 'shape': (6,)}"), at + "its header has 'shape' twice"},
      {"another key", header("{'sh\x1b[2J': (6,)}"),
       at + "its header has the key 'sh\\x1b[2J'; expected descr, fortran_order and shape"},
      {"a word for true", header(dictionary("|u1", "(6,)", "yes")),
       damaged + "(fortran_order is neither True nor False)"},
      {"records", header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}"),
       damaged + "(descr, so it holds records or it is no text)"},
      {"objects", header(dictionary("|O", "(6,)")),
       at + "holds numbers of type '|O'; expected floats, whole numbers or booleans, such as '<f4' or '|u1'"},
      {"big-endian", header(dictionary(">f4", "(6,)")),
       at + "holds big-endian numbers ('>f4'); save it with little-endian ones"},
      {"no type", header(dictionary("", "(6,)")),
       at + "holds numbers of type ''; expected floats, whole numbers or booleans, such as '<f4' or '|u1'"},
      {"Fortran's order", header(dictionary("|u1", "(2, 3)", "True")),
       at + "is stored in Fortran's order; save numpy.ascontiguousarray of it"},
      {"negative dimension", header(dictionary("|u1", "(-6,)")), damaged + "(a dimension is no number)"},
      {"huge dimension", header(dictionary("|u1", "(99999999999999999999,)")),
       at + "has a dimension of more than 2^40"},
      {"product wraps", header(dictionary("|u1", "(1048576, 1048576, 1048576, 1048576)")),
       at + "its dimensions multiply to more than 2^40 numbers"},
      {"many dimensions", header(dictionary("|u1", "(" + std::string(99, '1') + ")")),
       at + "has a dimension of more than 2^40"},
      {"floats", header(dictionary("<f2", "(3,)")), at + "holds F16; expected U8, 0 black and 255 white"},
  };
  for (const Row& row : rows) {
    folder.write("x.npz", row.file);
    EXPECT_EQ(message_of([&] { NpzFile::open(path).read_bytes("x"); }), row.expected) << row.name;
  }
  folder.write("x.npz", of(good));
  EXPECT_EQ(message_of([&] { NpzFile::open(path).read_doubles("x"); }),
            at + "holds U8; expected floats (F64, F32 or F16)");
  folder.write("x.npz", of(npy(dictionary("<f2", "(3,)"), kSix)));
  EXPECT_EQ(message_of([&] { NpzFile::open(path).read_whole_numbers("x"); }), at + "holds F16; expected whole numbers");
}

}  // namespace
}  // namespace ito
