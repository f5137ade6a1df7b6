// SPDX-License-Identifier: Apache-2.0
// One file that all ranks of a run write, each at its own places. It appears whole or not at all: the first rank makes
// it under another name, and gives it its own when all have written and flushed their parts.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/io/atomic_file.h"
#include "engine/io/safetensors.h"
#include "kernels/seams/comm.h"

namespace ito {

class SharedFile {
 public:
  // All ranks make it together; its folder is one that all of them reach, on hosts that share a file system. What fails
  // on one rank is thrown on all, with its rank and host: UserError.
  SharedFile(const std::string& path, Communicator& ranks);
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  void write(uint64_t place, const void* data, size_t bytes);  // an error shows in commit
  void commit();                                               // all ranks together

 private:
  void close() noexcept;
  void throw_together();

  std::string path_;
  Communicator& ranks_;
  std::optional<AtomicFile> first_;  // of the first rank
  int descriptor_ = -1;              // of the others
  std::string error_;                // this rank's, which all are still to hear of
};

// All ranks call it, having added tensors of the same names and shapes: each writes those that it has the data of.
void write_together(const SafetensorsWriter& tensors, const std::string& path, Communicator& ranks);

}  // namespace ito
