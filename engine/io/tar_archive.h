// SPDX-License-Identifier: Apache-2.0
// A tar archive as an index: one pass over its headers, by libarchive, says where each file's bytes lie, and they are
// then looked at in place, in any order, by any threads. An archive is untrusted input. Links are never followed, and
// nothing is unpacked to the disk.
#pragma once
#include <string>
#include <vector>

#include "engine/io/mapped_file.h"

namespace ito {

// Begins as a tar does, or is called .tar and does not begin as an archive of another kind.
bool is_tar_file(const std::string& path);

class TarArchive {
 public:
  struct Member {
    std::string name;  // bytes as they are stored
    uint64_t place = 0, bytes = 0;
    bool is_link = false;  // symbolic or hard: has no bytes of its own
  };

  // UserError in one line that names the file and the byte: it is cut short, damaged, compressed, or goes on after its
  // end. A file of all zeros, or of none, has no members.
  explicit TarArchive(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::vector<Member>& members() const { return members_; }  // in the archive's order, without folders
  std::span<const uint8_t> bytes(const Member& member) const;      // in place

 private:
  void check_end(uint64_t end) const;

  MappedFile file_;
  std::vector<Member> members_;
};

}  // namespace ito
