// SPDX-License-Identifier: Apache-2.0
// See shared_file.h. Flushing comes before the ranks meet: on a network's file system only that makes a part visible
// elsewhere.
#include "engine/ranks/shared_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/error.h"

namespace ito {

SharedFile::SharedFile(const std::string& path, Communicator& ranks) : path_(path), ranks_(ranks) {
  if (ranks.rank() == 0) try {
      first_.emplace(path);
      if (first_->temporary().empty()) error_ = path + ": is no regular file; several ranks cannot write it";
    } catch (const Error& e) {
      error_ = e.what();
    }
  const std::string name = ranks.gather_text(error_.empty() && first_ ? first_->temporary() : "").front();
  if (ranks.rank() > 0 && !name.empty()) {
    descriptor_ = ::open(name.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0)
      error_ = join_text(name, ": made by rank 0, cannot be opened here: ", std::strerror(errno),
                         "; choose a folder that all hosts reach by the same name");
  }
  throw_together();
}

SharedFile::~SharedFile() {
  close();
}

void SharedFile::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void SharedFile::throw_together() {
  const std::vector<std::string> errors = ranks_.gather_text(error_.empty() ? "" : ranks_.host() + ": " + error_);
  for (size_t rank = 0; rank < errors.size(); ++rank)
    if (!errors[rank].empty()) {
      first_.reset();
      close();
      fail<UserError>("rank ", rank, " on ", errors[rank]);
    }
}

void SharedFile::write(uint64_t place, const void* data, size_t bytes) {
  if (!error_.empty()) return;
  try {
    if (first_)
      first_->write_at(place, data, bytes);
    else if (const int number = write_at(descriptor_, place, data, bytes))
      error_ = path_ + ": writing failed: " + std::strerror(number);
  } catch (const Error& e) {
    error_ = e.what();
  }
}

void SharedFile::commit() {
  if (error_.empty() && descriptor_ >= 0 && ::fsync(descriptor_) != 0)
    error_ = path_ + ": writing failed: " + std::strerror(errno);
  close();
  throw_together();
  if (first_) try {
      first_->commit();
    } catch (const Error& e) {
      error_ = e.what();
    }
  throw_together();
}

void write_together(const SafetensorsWriter& tensors, const std::string& path, Communicator& ranks) {
  SharedFile file(path, ranks);
  tensors.for_each_part(path, [&](uint64_t place, const void* data, size_t bytes) {
    if (place > 0 || ranks.rank() == 0) file.write(place, data, bytes);
  });
  file.commit();
}

}  // namespace ito
