// SPDX-License-Identifier: Apache-2.0
// The container's bytes, its conversions, and a table of damaged files each with the message it must give.
#include "engine/io/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/io/input_file.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

std::string little_endian(uint64_t value) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string file_of(const std::string& header, const std::string& data) {
  return little_endian(header.size()) + header + data;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST(Safetensors, WritesTheseBytes) {
  TempFolder folder;
  SafetensorsWriter writer;
  const std::vector<float> b = {1.0f, -2.0f};
  writer.add("b", {2, 1}, b);
  writer.add_u8("a", {3}, std::vector<uint8_t>{7, 8, 9});
  writer.write(folder / "x.safetensors");
  // b comes first in the data (wider elements first), a first in the header (names sorted). 140 characters, padded with
  // spaces to 144.
  const std::string header = R"({"__metadata__":{"format":"pt"},"a":{"data_offsets":[8,11],"dtype":"U8","shape":[3]},)"
                             R"("b":{"data_offsets":[0,8],"dtype":"F32","shape":[2,1]}}    )";
  ASSERT_EQ(header.size(), 144u);
  const std::string data("\x00\x00\x80\x3f\x00\x00\x00\xc0\x07\x08\x09", 11);
  EXPECT_EQ(read_bytes(folder / "x.safetensors"), file_of(header, data));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"x.safetensors"});
}

TEST(Safetensors, BytesDoNotDependOnTheOrderOfAdding) {
  TempFolder folder;
  const std::vector<float> values = {1, 2, 3};
  SafetensorsWriter forward, backward;
  for (const char* name : {"a", "b", "c"}) forward.add(name, {3}, values);
  for (const char* name : {"c", "b", "a"}) backward.add(name, {3}, values);
  forward.write(folder / "1");
  backward.write(folder / "2");
  EXPECT_EQ(read_bytes(folder / "1"), read_bytes(folder / "2"));
}

TEST(Safetensors, RoundTrip) {
  TempFolder folder;
  std::vector<float> large(100'003);  // more than one chunk
  for (size_t i = 0; i < large.size(); ++i) large[i] = std::sin(static_cast<float>(i));
  large[5] = std::numeric_limits<float>::infinity();
  const std::vector<int64_t> integers = {-1, 0, std::numeric_limits<int64_t>::max()};
  SafetensorsWriter writer;
  writer.add("large", {100'003}, large);
  writer.add("scalar", {}, std::vector<float>{4.5f});
  writer.add("empty", {0, 7}, std::vector<float>{});
  writer.add_i64("integers", {3}, integers);
  writer.add_u8("zz", {1}, std::vector<uint8_t>{255});
  writer.set_metadata("seed", "7");
  writer.write(folder / "x");

  const SafetensorsFile file = SafetensorsFile::open(folder / "x");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"empty", "integers", "large", "scalar", "zz"}));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"seed", "7"}}));
  EXPECT_EQ(file.read_f32("large"), large);
  EXPECT_EQ(file.read_f32("scalar"), std::vector<float>{4.5f});
  EXPECT_TRUE(file.read_f32("empty").empty());
  EXPECT_EQ(file.read_i64("integers"), integers);
  EXPECT_EQ(file.read_i64("zz"), std::vector<int64_t>{255});
  EXPECT_EQ(file.read_raw("scalar"), (std::vector<uint8_t>{0, 0, 0x90, 0x40}));
  EXPECT_EQ(file.entry("empty").shape, (std::vector<int64_t>{0, 7}));
  EXPECT_TRUE(file.has("zz"));
  EXPECT_FALSE(file.has("z"));
  // Every tensor starts at a multiple of its element size, from the file's start.
  const uint64_t data_start = read_bytes(folder / "x").size() - (100'003 * 4 + 4 + 24 + 1);
  for (const std::string& name : file.names())
    EXPECT_EQ((data_start + file.entry(name).begin) % size_of(file.entry(name).type), 0u) << name;
}

// One tensor "t" of `count` elements.
SafetensorsFile open_one(const TempFolder& folder, const std::string& dtype, size_t count, const std::string& data) {
  const std::string header = "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + std::to_string(count) +
                             "],\"data_offsets\":[0," + std::to_string(data.size()) + "]}}";
  return SafetensorsFile::open(folder.write("one", file_of(header, data)));
}

TEST(Safetensors, ConvertsEveryType) {
  TempFolder folder;
  const auto read = [&](const char* dtype, size_t count, const std::string& data) {
    return open_one(folder, dtype, count, data).read_f32("t");
  };
  using Floats = std::vector<float>;
  EXPECT_EQ(read("F64", 2, bytes_of<double>({0.1, -1e300})), (Floats{0.1f, -std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(read("I64", 2, bytes_of<int64_t>({-3, 1 << 24})), (Floats{-3, 16777216}));
  EXPECT_EQ(read("I32", 1, bytes_of<int32_t>({-70000})), Floats{-70000});
  EXPECT_EQ(read("I16", 1, bytes_of<int16_t>({-300})), Floats{-300});
  EXPECT_EQ(read("I8", 1, bytes_of<int8_t>({-3})), Floats{-3});
  EXPECT_EQ(read("U8", 1, bytes_of<uint8_t>({200})), Floats{200});
  EXPECT_EQ(read("BOOL", 3, bytes_of<uint8_t>({0, 1, 2})), (Floats{0, 1, 1}));
  EXPECT_EQ(read("BF16", 2, bytes_of<uint16_t>({0x3f80, 0xc049})), (Floats{1.0f, -3.140625f}));
  // Halves: 1, -2, the largest (65504), the smallest normal (2^-14), the smallest subnormal (2^-24), the largest
  // subnormal (1023 * 2^-24), infinity.
  EXPECT_EQ(read("F16", 7, bytes_of<uint16_t>({0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x03ff, 0x7c00})),
            (Floats{1, -2, 65504, 0x1p-14f, 0x1p-24f, 1023 * 0x1p-24f, std::numeric_limits<float>::infinity()}));
  EXPECT_TRUE(std::isnan(read("F16", 1, bytes_of<uint16_t>({0x7e00}))[0]));
  EXPECT_TRUE(std::signbit(read("F16", 1, bytes_of<uint16_t>({0x8000}))[0]));
}

TEST(Safetensors, ConvertsMoreThanOneChunk) {
  TempFolder folder;
  std::vector<uint8_t> bytes(200'001);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31 + i / 65536);
  SafetensorsWriter writer;
  writer.add_u8("t", {200'001}, bytes);
  writer.write(folder / "x");
  const SafetensorsFile file = SafetensorsFile::open(folder / "x");
  EXPECT_EQ(file.read_f32("t"), std::vector<float>(bytes.begin(), bytes.end()));
  EXPECT_EQ(file.read_i64("t"), std::vector<int64_t>(bytes.begin(), bytes.end()));
}

TEST(Safetensors, IntegersFromFloatsOnlyWhenAsked) {
  TempFolder folder;
  const SafetensorsFile file = open_one(folder, "F32", 2, bytes_of<float>({3, -4}));
  EXPECT_EQ(file.read_i64("t", true), (std::vector<int64_t>{3, -4}));
  EXPECT_EQ(message_of([&] { file.read_i64("t"); }),
            file.path() + ": tensor 't': is F32, expected whole numbers (I64, I32 or U8)");
  const SafetensorsFile half = open_one(folder, "F32", 2, bytes_of<float>({3, 0.5f}));
  EXPECT_EQ(message_of([&] { half.read_i64("t", true); }),
            half.path() + ": tensor 't': element 1 is 0.5, not a whole number");
  const SafetensorsFile huge = open_one(folder, "F32", 1, bytes_of<float>({0x1p63f}));
  EXPECT_NE(message_of([&] { huge.read_i64("t", true); }).find("not a whole number"), std::string::npos);
}

TEST(Safetensors, NamesTheTensorThatIsNotAsExpected) {
  TempFolder folder;
  const SafetensorsFile file = open_one(folder, "U32", 2, std::string(8, '\0'));
  EXPECT_EQ(message_of([&] {
              file.check_shape("t", {1, 2});
            }),
            file.path() + ": tensor 't': has shape [2], expected [1, 2]");
  EXPECT_NO_THROW(file.check_shape("t", {2}));
  EXPECT_EQ(message_of([&] { file.read_f32("tt"); }),
            file.path() + ": tensor 'tt': is not in the file; did you mean 't'?");
  EXPECT_EQ(message_of([&] { file.read_f32("t"); }),
            file.path() + ": tensor 't': U32 cannot be read as numbers here; store it as F32, F16 or BF16");
}

TEST(Safetensors, DamagedFilesAreRefused) {
  const std::string zeros(16, '\0');
  const auto one = [&](const std::string& entry) { return file_of("{\"t\":" + entry + "}", zeros); };
  std::string deep = "{\"t\":";
  deep += std::string(100'000, '[');
  struct Damage {
    const char* what;
    std::string bytes;
    const char* message;  // after the path
  };
  const std::vector<Damage> table = {
      {"empty", "", ": is 0 bytes long, too short for a safetensors file (8 bytes of header length come first)"},
      {"no header", little_endian(2),
       ": its header claims 2 bytes, but only 0 follow; it is cut short or not a safetensors file"},
      {"lying length", little_endian(1000) + "{}",
       ": its header claims 1000 bytes, but only 2 follow; it is cut short or not a safetensors file"},
      {"length near 2^64", little_endian(~uint64_t{0}) + "{}",
       ": its header claims 18446744073709551615 bytes, but only 2 follow; it is cut short or not a safetensors file"},
      {"not JSON", file_of("{nonsense", ""), ": header: not valid JSON: parse error at line 1, column 3: "},
      {"header is a list", file_of("[]", ""), ": header: must be a JSON object"},
      {"deep nesting", file_of(deep, ""), ": header: nested more than 8 levels deep"},
      {"a name twice", file_of(R"({"t":{},"t":{}})", ""), ": header: the key 't' occurs twice in one object"},
      {"metadata not strings", file_of(R"({"__metadata__":{"a":1}})", ""),
       ": __metadata__: the value of 'a' must be a string"},
      {"tensor is a number", one("3"),
       ": tensor 't': must be described by an object with dtype, shape and data_offsets"},
      {"no dtype", one(R"({"shape":[4],"data_offsets":[0,16]})"), ": tensor 't': has no \"dtype\" in the header"},
      {"no offsets", one(R"({"shape":[4],"dtype":"F32"})"), ": tensor 't': has no \"data_offsets\" in the header"},
      {"unknown dtype", one(R"({"dtype":"F33","shape":[4],"data_offsets":[0,16]})"),
       ": tensor 't': unknown dtype 'F33'"},
      {"dtype a number", one(R"({"dtype":32,"shape":[4],"data_offsets":[0,16]})"), ": tensor 't': unknown dtype '32'"},
      {"negative size", one(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})"),
       ": tensor 't': its shape must be a list of whole numbers, found '-4'"},
      {"fractional size", one(R"({"dtype":"F32","shape":[4.0],"data_offsets":[0,16]})"),
       ": tensor 't': its shape must be a list of whole numbers, found '4.0'"},
      {"size beyond 64 bits", one(R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,16]})"),
       ": tensor 't': its shape must be a list of whole numbers, found '1e+20'"},
      {"shape not a list", one(R"({"dtype":"F32","shape":4,"data_offsets":[0,16]})"),
       ": tensor 't': its shape must be a list of whole numbers, found '4'"},
      // 2^31 * 2^31 * 4 = 2^64, which would wrap to 0.
      {"product wraps", one(R"({"dtype":"F32","shape":[2147483648,2147483648],"data_offsets":[0,0]})"),
       ": tensor 't': its shape is too large to be real"},
      {"size disagrees", one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,16]})"),
       ": tensor 't': 16 bytes stored, but F32 [3] needs 12"},
      {"offsets backwards", one(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})"),
       ": tensor 't': data_offsets [16, 0] run backwards"},
      {"three offsets", one(R"({"dtype":"F32","shape":[4],"data_offsets":[0,8,16]})"),
       ": tensor 't': data_offsets must be two whole numbers, found '[0,8,16]'"},
      {"truncated data", one(R"({"dtype":"F32","shape":[5],"data_offsets":[0,20]})"),
       ": tensor 't': ends at byte 20 of the data, but the file holds 16; it is cut short or damaged"},
      {"trailing bytes", one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"),
       ": the tensors end at byte 12 of the data, but the file has 16 bytes of it"},
      {"overlap",
       file_of(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
               R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
               zeros),
       ": tensor 'b': starts at byte 8 of the data, inside the tensor before it (which ends at 12)"},
      {"hole",
       file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
               R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})",
               zeros),
       ": tensor 'b': starts at byte 8 of the data, but bytes from 4 on belong to no tensor"},
      {"newline in a name", file_of("{\"a\\nb\":1}", ""),
       ": tensor 'a\\x0ab': must be described by an object with dtype, shape and data_offsets"},
  };
  TempFolder folder;
  for (const Damage& damage : table) {
    SCOPED_TRACE(damage.what);
    const std::string path = folder.write("x.safetensors", damage.bytes);
    const std::string message = message_of([&] { SafetensorsFile::open(path); });
    // The JSON library's own words after the position are not ours to pin.
    EXPECT_EQ(message.substr(0, path.size() + std::strlen(damage.message)), path + damage.message) << message;
  }
}

TEST(Safetensors, EveryPrefixOfAFileIsRefused) {
  TempFolder folder;
  SafetensorsWriter writer;
  writer.add("a", {2}, std::vector<float>{1, 2});
  writer.write(folder / "x");
  const std::string whole = read_bytes(folder / "x");
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write("cut", whole.substr(0, length));
    EXPECT_THROW(SafetensorsFile::open(path), UserError) << length;
  }
}

// Every byte of a header replaced by others: the file opens and reads, or is refused in one line.
TEST(Safetensors, ChangedBytesNeverCrash) {
  TempFolder folder;
  SafetensorsWriter writer;
  writer.add("a", {2}, std::vector<float>{1, 2});
  writer.add_u8("b", {1, 3}, std::vector<uint8_t>{1, 2, 3});
  writer.write(folder / "x");
  const std::string whole = read_bytes(folder / "x");
  int refused = 0;
  for (size_t i = 0; i < whole.size(); ++i)
    for (const char replacement : {'\0', '9', '"', '[', '}', '\xff'}) {
      std::string bytes = whole;
      bytes[i] = replacement;
      const std::string path = folder.write("y", bytes);
      const std::string message = message_of([&] {
        const SafetensorsFile file = SafetensorsFile::open(path);
        for (const std::string& name : file.names()) EXPECT_LE(file.read_f32(name).size(), 19u);
      });
      refused += message != "nothing was thrown";
    }
  EXPECT_GT(refused, 300);
}

TEST(Safetensors, WriterRefusesWhatCannotBeRead) {
  SafetensorsWriter writer;
  const std::vector<float> two = {1, 2};
  writer.add("a", {2}, two);
  EXPECT_EQ(message_of<Error>([&] { writer.add("a", {2}, two); }), "safetensors: tensor 'a': added twice");
  EXPECT_EQ(message_of<Error>([&] { writer.add("b", {3}, two); }),
            "safetensors: tensor 'b': 8 bytes given, its shape needs 12");
  EXPECT_EQ(message_of<Error>([&] { writer.add("b", {-1}, two); }), "safetensors: tensor 'b': bad dimension -1");
  EXPECT_THROW(writer.add("__metadata__", {2}, two), Error);
  writer.add("\xff", {2}, two);
  TempFolder folder;
  EXPECT_NE(message_of<Error>([&] { writer.write(folder / "x"); }).find("not UTF-8"), std::string::npos);
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace ito
