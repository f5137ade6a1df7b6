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
namespace {

// Bytes of the UTF-8 character at the start of `text`; 0 if it is malformed or a control character (C0, DEL, C1).
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return lead < 0x20 || lead == 0x7f ? 0 : 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0xa0, 0x800, 0x10000};  // by length; what is smaller is overlong or C1
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < kSmallest[length] || code > 0x10ffff || surrogate ? 0 : length;
}

}  // namespace

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

std::string printable(std::string_view text, size_t longest) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_length(text.substr(i));
    const auto byte = static_cast<unsigned char>(text[i]);
    const char escape[] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    const std::string_view piece = length > 0 ? text.substr(i, length) : std::string_view(escape, 4);
    if (out.size() + piece.size() > longest) return out + "...";
    out += piece;
    i += std::max<size_t>(length, 1);
  }
  return out;
}

std::string quote_name(std::string_view text) {
  std::string out = "'";
  out += printable(text, 100);
  return out += '\'';
}

bool is_name_of_file(std::string_view text) {
  constexpr size_t kLongest = 255;
  return !text.empty() && text.size() <= kLongest && text != "." && text != ".." &&
         text.find('/') == std::string_view::npos && printable(text) == text;
}

std::string list_names(const std::vector<std::string>& names) {
  constexpr size_t kLongest = 400;
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (list.size() > kLongest) return list + " and " + std::to_string(names.size() - i) + " more";
    list += (i ? ", " : "") + quote_name(names[i]);
  }
  return list;
}

}  // namespace ito
