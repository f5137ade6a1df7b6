// SPDX-License-Identifier: Apache-2.0
// Files that appear whole or not at all: written beside their final name, fsynced, then renamed over it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ito {

// A file in the making. Until commit() the final name is untouched; without commit() nothing stays behind.
// A path that is not a regular file (/dev/stdout, a FIFO) is written straight through, since it cannot be renamed over.
// UserError: the directory is missing or not writable, the disk is full. Error: the disk is failing.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write_at(uint64_t place, const void* data, size_t bytes);  // of a regular file
  const std::string& temporary() const { return temporary_; }     // its name until then
  // Flushes to the disk and gives the file its final name.
  void commit();

 private:
  [[noreturn]] void fail_with(const char* action, int error_number);
  void discard() noexcept;

  std::string path_;       // as the caller wrote it, for messages
  std::string target_;     // path_ with symbolic links followed
  std::string temporary_;  // empty when written straight through
  int descriptor_ = -1;
};

// At a place of an open file; the number of the system's error, or 0.
int write_at(int descriptor, uint64_t place, const void* data, size_t bytes);
// "PATH: ACTION: reason; what to do", by the number of the system's error: UserError where the user can mend it.
[[noreturn]] void fail_on_file(const std::string& path, const char* action, int error_number);

void write_file_atomically(const std::string& path, const void* data, size_t bytes);
void write_file_atomically(const std::string& path, std::string_view text);

}  // namespace ito
