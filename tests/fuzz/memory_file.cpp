// SPDX-License-Identifier: Apache-2.0
// See memory_file.h. Linux only, as /proc is.
#include "tests/fuzz/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace ito {
namespace fs = std::filesystem;

MemoryFile::MemoryFile(const std::string& name) {
  descriptor_ = memfd_create("ito-fuzz", MFD_CLOEXEC);
  std::string pattern = (fs::temp_directory_path() / "ito-fuzz-XXXXXX").string();
  if (descriptor_ < 0 || !mkdtemp(pattern.data())) throw std::runtime_error("no memory file or temporary folder");
  folder_ = pattern;
  path_ = folder_ + "/" + name;
  fs::create_symlink("/proc/self/fd/" + std::to_string(descriptor_), path_);
}

MemoryFile::~MemoryFile() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
  close(descriptor_);
}

void MemoryFile::set(Bytes bytes) {
  bool written = ftruncate(descriptor_, 0) == 0;
  for (size_t at = 0; written && at < bytes.size();) {
    const ssize_t step = pwrite(descriptor_, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    written = step > 0;
    at += written ? static_cast<size_t>(step) : 0;
  }
  if (!written) throw std::runtime_error("the memory file cannot be written");
}

}  // namespace ito
