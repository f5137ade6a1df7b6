// SPDX-License-Identifier: Apache-2.0
// See mapped_file.h. No descriptor is kept, so that a thousand shards may be mapped at once.
#include "engine/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const InputFile checked(path);  // says what is wrong with it
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ITO_USER_CHECK(descriptor >= 0, path, ": cannot be opened: ", std::strerror(errno));
  struct stat info {};
  void* mapped = nullptr;
  int error = ::fstat(descriptor, &info) == 0 ? 0 : errno;
  if (error == 0 && info.st_size > 0) {
    mapped = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) error = errno;
  }
  ::close(descriptor);
  ITO_CHECK(error == 0, path, ": cannot be mapped into memory: ", std::strerror(error));
  data_ = static_cast<const uint8_t*>(mapped);
  size_ = static_cast<uint64_t>(info.st_size);
  device_ = info.st_dev;
  inode_ = info.st_ino;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<uint8_t*>(data_), size_);
}

std::span<const uint8_t> MappedFile::bytes(uint64_t place, uint64_t count) const {
  ITO_CHECK(place <= size_ && count <= size_ - place, path_, ": bytes ", place, " to ", place + count, " asked of ",
            size_);
  struct stat info {};
  // Another file by this name is none of ours: the one that is mapped stays as it is.
  if (::stat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_)
    ITO_USER_CHECK(place + count <= static_cast<uint64_t>(info.st_size), path_, ": ends at byte ", info.st_size,
                   ", and had ", size_, " bytes when it was opened; it was cut short while it was read");
  return {data_ + place, count};
}

void MappedFile::expect_random_access() const {
  if (data_) ::madvise(const_cast<uint8_t*>(data_), size_, MADV_RANDOM);
}

// Whole pages; advice that is not taken costs time alone.
void MappedFile::read_ahead(uint64_t place, uint64_t count) const {
  static const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = place / page * page;
  ::madvise(const_cast<uint8_t*>(data_) + begin, place + count - begin, MADV_WILLNEED);
}

}  // namespace ito
