// SPDX-License-Identifier: Apache-2.0
// Reading files with errors that name the file: random access for large ones, whole for small ones.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

// An open regular file. Throws UserError if it cannot be opened and Error if the machine fails to read it.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  // Reads exactly `bytes` at `offset`; a file that has become shorter since it was opened is an error.
  void read_at(uint64_t offset, void* out, size_t bytes) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// All bytes of a regular file; refused with the size if it is longer than max_bytes.
std::vector<uint8_t> read_whole_file(const std::string& path, uint64_t max_bytes = uint64_t{1} << 36);
// At most `bytes` from the start of the file: what a format is recognised by.
std::vector<uint8_t> read_file_start(const std::string& path, size_t bytes);

// Text from a file made fit for a one-line message: control characters and what is not UTF-8 as \xNN, cut when it
// grows longer than `longest` bytes. What it has made it leaves alone.
std::string printable(std::string_view text, size_t longest = SIZE_MAX);
// The same in quotes and of at most 100 bytes.
std::string quote_name(std::string_view text);
// Whether a file's text, such as an index's, may name a file beside it: one part of a path, printable, no longer than a
// name may be.
bool is_name_of_file(std::string_view text);
// Names quoted and joined by commas; a long list ends in "and N more".
std::string list_names(const std::vector<std::string>& names);

}  // namespace ito
