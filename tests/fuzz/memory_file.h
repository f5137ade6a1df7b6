// SPDX-License-Identifier: Apache-2.0
// A file in memory for parsers that take a path: a memfd, reached through a symbolic link that gives it its name.
#pragma once
#include <string>

#include "tests/fuzz/fuzz_target.h"

namespace ito {

class MemoryFile {
 public:
  // `name` is the last part of the path: formats are told by their extension.
  explicit MemoryFile(const std::string& name);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void set(Bytes bytes);
  const std::string& path() const { return path_; }

 private:
  int descriptor_ = -1;
  std::string folder_, path_;
};

}  // namespace ito
