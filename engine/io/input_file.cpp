// SPDX-License-Identifier: Apache-2.0
// POSIX reads rather than a memory map: a file cut short while it is read is then an error message, not a SIGBUS.
#include "engine/io/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/error.h"

namespace ito {

InputFile::InputFile(const std::string& path) : path_(path) {
  struct stat info {};
  // Asked before opening, because opening a FIFO would wait for its writer.
  ITO_USER_CHECK(::stat(path.c_str(), &info) == 0, path, ": cannot be read: ", std::strerror(errno));
  ITO_USER_CHECK(!S_ISDIR(info.st_mode), path, ": is a directory where a file is expected");
  ITO_USER_CHECK(S_ISREG(info.st_mode), path, ": is not a regular file; give the path of a file on disk");
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ITO_USER_CHECK(descriptor_ >= 0, path, ": cannot be opened: ", std::strerror(errno));
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read_at(uint64_t offset, void* out, size_t bytes) const {
  char* destination = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, destination, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    ITO_CHECK(got >= 0, path_, ": reading at byte ", offset, " failed: ", std::strerror(errno));
    ITO_USER_CHECK(got > 0, path_, ": ends at byte ", offset, ", ", bytes, " bytes too early; the file is cut short");
    destination += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

std::vector<uint8_t> read_whole_file(const std::string& path, uint64_t max_bytes) {
  const InputFile file(path);
  ITO_USER_CHECK(file.size() <= max_bytes, path, ": is ", file.size(), " bytes long; at most ", max_bytes,
                 " are expected of this kind of file");
  std::vector<uint8_t> bytes(file.size());
  file.read_at(0, bytes.data(), bytes.size());
  return bytes;
}

std::vector<uint8_t> read_file_start(const std::string& path, size_t bytes) {
  const InputFile file(path);
  std::vector<uint8_t> start(std::min<uint64_t>(bytes, file.size()));
  file.read_at(0, start.data(), start.size());
  return start;
}

std::string quote_name(std::string_view text) {
  constexpr size_t kLongest = 100;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace ito
