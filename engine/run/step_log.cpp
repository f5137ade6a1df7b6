// SPDX-License-Identifier: Apache-2.0
// See step_log.h.
#include "engine/run/step_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/io/input_file.h"
#include "engine/io/option_name.h"
#include "kernels/error.h"

namespace ito {

StepLog::~StepLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::vector<Json> StepLog::open(const std::string& path, int64_t last_step) {
  path_ = path;
  std::vector<Json> lines;
  size_t kept = 0;  // bytes
  if (std::filesystem::exists(path)) {
    const std::vector<uint8_t> bytes = read_whole_file(path);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    int64_t previous = 0;
    for (size_t end; (end = text.find('\n', kept)) != std::string_view::npos; kept = end + 1) {
      const std::string where = join_text(path, ", line ", lines.size() + 1);
      const Json line = parse_json(text.substr(kept, end - kept), where);
      ITO_USER_CHECK(line.is_object() && line.contains("step") && line["step"].is_number_integer(), where,
                     ": has no integer `step`; expected a line that a training run wrote");
      const int64_t step = line["step"];
      ITO_USER_CHECK(step > previous, where, ": step ", step, " follows step ", previous, "; expected a larger one");
      if (step > last_step) break;
      lines.push_back(line);
      previous = step;
    }
  }
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ITO_USER_CHECK(descriptor_ >= 0, path, ": cannot be written: ", std::strerror(errno), "; choose another folder");
  ITO_CHECK(::ftruncate(descriptor_, static_cast<off_t>(kept)) == 0, path, ": cannot be cut: ", std::strerror(errno));
  return lines;
}

// Takes back the part of a line that was written.
void StepLog::fail_append(size_t part) {
  const int error_number = errno;
  struct stat info {};
  if (part > 0 && ::fstat(descriptor_, &info) == 0)
    (void)!::ftruncate(descriptor_, info.st_size - static_cast<off_t>(part));
  const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
  const std::string reason = join_text(path_, ": writing failed: ", std::strerror(error_number));
  ITO_USER_CHECK(!full, reason, "; free some space, then go on with ", option_name("resume"));
  fail<Error>(reason, "; ", option_name("resume"), " goes on from the newest checkpoint");
}

void StepLog::append(const Json& line) {
  const std::string text = line.dump() + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(descriptor_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_append(done);
    done += static_cast<size_t>(written);
  }
}

void StepLog::sync() {
  if (::fsync(descriptor_) != 0) fail_append(0);
}

}  // namespace ito
