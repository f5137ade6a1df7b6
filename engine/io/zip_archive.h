// SPDX-License-Identifier: Apache-2.0
// Zip archives, stored or deflated, read by minizip: the directory once, and any member when it is asked for, by
// several threads. An archive is untrusted input: what it announces is held against its size before it is believed.
// Nothing is unpacked to the disk.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/input_file.h"

namespace ito {

// By its first bytes.
bool is_zip_file(const std::string& path);

class ZipArchive {
 public:
  struct Member {
    std::string name;
    uint64_t bytes = 0;  // unpacked
    bool is_link = false;
    uint64_t directory_offset = 0, number = 0;  // minizip's place of it
  };

  // UserError, here and below, in one line that names the file and the member. of_what: what a member is, for who has
  // more than the most.
  static ZipArchive open(const std::string& path, uint64_t most_members, const char* of_what);

  const std::string& path() const { return file_.path(); }
  const std::vector<Member>& members() const { return members_; }  // in the directory's order, without folders
  std::string place(const Member& member) const;                   // "FILE: NAME"
  // The first bytes of a member, or all of them; then the checksum is verified.
  std::vector<uint8_t> unpack(const Member& member, uint64_t first = UINT64_MAX) const;

 private:
  explicit ZipArchive(InputFile file) : file_(std::move(file)) {}

  InputFile file_;
  std::vector<Member> members_;
};

}  // namespace ito
