// SPDX-License-Identifier: Apache-2.0
// A file in the address space: its pages are read when they are looked at, shared by all processes that have it mapped,
// and given up by the system when memory runs short. For files larger than memory of which pieces are wanted.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace ito {

class MappedFile {
 public:
  // UserError if it cannot be opened or is no regular file. Files of no bytes can be mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // when it was opened
  // A piece of it. The file is looked at again, since a page past its end would end the process: UserError with the
  // byte if it has become too short for the piece.
  std::span<const uint8_t> bytes(uint64_t place, uint64_t count) const;
  // All of it, for who looks at it right after it was opened.
  std::span<const uint8_t> all() const { return {data_, size_}; }

  void expect_random_access() const;                      // nothing is read beside what is asked for
  void read_ahead(uint64_t place, uint64_t count) const;  // will be asked for soon: one read instead of one a page

 private:
  std::string path_;
  uint64_t size_ = 0;
  uint64_t device_ = 0, inode_ = 0;
  const uint8_t* data_ = nullptr;
};

}  // namespace ito
