// SPDX-License-Identifier: Apache-2.0
// The temporary's name holds the process and a counter, so two writers of one path do not write into each other.
#include "engine/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "kernels/error.h"

namespace ito {
namespace {

const char* advice_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space or write elsewhere";
    case EFBIG:
      return "; the file-size limit is reached: raise it (ulimit -f) or write elsewhere";
    case ENOENT:
      return "; create its directory first";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; choose a directory that you may write to";
    case ENOTDIR:
      return "; a part of the path is a file, not a directory";
    case EISDIR:
      return "; give the name of a file";
    case ENAMETOOLONG:
      return "; choose a shorter name";
    default:
      return "";
  }
}

bool is_users_mistake(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOENT:
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return true;
    default:
      return false;
  }
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(path) {
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) fail_with("cannot be written", EISDIR);
  if (exists && !S_ISREG(info.st_mode)) {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail_with("cannot be opened for writing", errno);
    return;
  }
  // Renaming over a symbolic link would replace the link, not the file it points to.
  std::error_code ignored;
  if (exists && std::filesystem::is_symlink(path, ignored)) target_ = std::filesystem::canonical(path).string();
  static std::atomic<unsigned> counter{0};
  temporary_ = join_text(target_, ".partial-", ::getpid(), "-", counter++);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    const int error_number = errno;
    temporary_.clear();
    fail_with("cannot be created", error_number);
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicFile::fail_with(const char* action, int error_number) {
  discard();
  fail_on_file(path_, action, error_number);
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* source = static_cast<const char*>(data);
  while (bytes > 0) {
    // Linux writes at most 2 GiB a call.
    const ssize_t written = ::write(descriptor_, source, std::min<size_t>(bytes, size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with("writing failed", errno);
    source += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::write_at(uint64_t place, const void* data, size_t bytes) {
  if (const int error_number = ito::write_at(descriptor_, place, data, bytes))
    fail_with("writing failed", error_number);
}

void fail_on_file(const std::string& path, const char* action, int error_number) {
  const std::string message =
      join_text(path, ": ", action, ": ", std::strerror(error_number), advice_for(error_number));
  if (is_users_mistake(error_number)) fail<UserError>(message);
  fail<Error>(message);
}

int write_at(int descriptor, uint64_t place, const void* data, size_t bytes) {
  const char* source = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written =
        ::pwrite(descriptor, source, std::min<size_t>(bytes, size_t{1} << 30), static_cast<off_t>(place));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    source += written;
    place += static_cast<uint64_t>(written);
    bytes -= static_cast<size_t>(written);
  }
  return 0;
}

void AtomicFile::commit() {
  if (temporary_.empty()) {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail_with("writing failed", errno);
    return;
  }
  if (::fsync(descriptor_) != 0) fail_with("writing failed", errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_with("writing failed", errno);
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail_with("cannot be put in place", errno);
  temporary_.clear();
  // The new name itself is on the disk only once its directory is; a file system that cannot do this is no error.
  const int directory = ::open(directory_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
}

void write_file_atomically(const std::string& path, const void* data, size_t bytes) {
  AtomicFile file(path);
  file.write(data, bytes);
  file.commit();
}

void write_file_atomically(const std::string& path, std::string_view text) {
  write_file_atomically(path, text.data(), text.size());
}

}  // namespace ito
