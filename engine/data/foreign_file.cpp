// SPDX-License-Identifier: Apache-2.0
// See foreign_file.h.
#include "engine/data/foreign_file.h"

#include <filesystem>
#include <string_view>

#include "engine/io/input_file.h"

namespace ito {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kUnpack = "; unpack it and give the folder",
                           kConvert = "; write its images as PNG files, or as `samples` of a safetensors file";

struct Kind {
  size_t at;
  std::string_view bytes, name, advice;
};
constexpr Kind kKinds[] = {
    {0, "\x1f\x8b"sv, "a gzip file", kUnpack},
    {0, "BZh"sv, "a bzip2 archive", kUnpack},
    {0, "\xfd\x37zXZ\0"sv, "an xz file", kUnpack},
    {0, "\x28\xb5\x2f\xfd"sv, "a Zstandard file", kUnpack},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive", kUnpack},
    {0, "Rar!"sv, "a RAR archive", kUnpack},
    {0, "\x93NUMPY"sv, "a NumPy array", kConvert},
    {0, "PAR1"sv, "a Parquet table", kConvert},
    {0, "\x89HDF"sv, "an HDF5 file", kConvert},
    {0, "MATLAB"sv, "a MATLAB file", kConvert},
    {0, "\x80"sv, "a Python pickle, which can run code when it is read", kConvert},
    {0, "\x89PNG"sv, "one PNG image", "; give the folder of images"},
    {0, "\xff\xd8\xff"sv, "one JPEG image", "; give the folder of images"},
};

}  // namespace

std::string foreign_file(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return "";
  const std::vector<uint8_t> start = read_file_start(path, 512);
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  for (const Kind& kind : kKinds)
    if (text.size() >= kind.at && text.substr(kind.at).starts_with(kind.bytes))
      return std::string(kind.name) + std::string(kind.advice);
  return "";
}

}  // namespace ito
