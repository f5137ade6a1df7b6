// SPDX-License-Identifier: Apache-2.0
// See progress.h. The first update is shown at once, the last always.
#include "tools/terminal/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace ito {
namespace {

std::string clock_text(double seconds) {
  const int64_t whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(std::string title, int64_t total, double per_item, std::string unit, int64_t first)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      first_(first),
      per_item_(per_item),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(Clock::now()),
      last_shown_(start_ - std::chrono::hours(1)) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::update(int64_t done, const std::string& note) {
  const Clock::time_point now = Clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000);
  if (done < total_ && now - last_shown_ < interval) return;
  last_shown_ = now;
  const double elapsed = seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done - first_) / elapsed : 0;
  const double left = rate > 0 ? static_cast<double>(total_ - done) / rate : 0;
  const std::string line = fmt::format("{} {}/{}{}{}  {:.0f} {}/s  {} left", title_, done, total_,
                                       note.empty() ? "" : "  ", note, rate * per_item_, unit_, clock_text(left));
  if (terminal_) {
    const int filled = static_cast<int>(20 * done / total_);
    std::fprintf(stderr, "\r\033[K[%s%s] %s", std::string(filled, '#').c_str(), std::string(20 - filled, '.').c_str(),
                 line.c_str());
    open_line_ = true;
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

void Progress::watch(std::function<int64_t()> done) {
  watcher_ = std::thread([this, done = std::move(done)] {
    std::unique_lock lock(mutex_);
    do update(done());
    while (!finished_.wait_for(lock, std::chrono::milliseconds(200), [this] { return finishing_; }));
    update(done());
  });
}

void Progress::finish() {
  if (watcher_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      finishing_ = true;
    }
    finished_.notify_one();
    watcher_.join();
  }
  if (open_line_) std::fputc('\n', stderr);
  open_line_ = false;
}

}  // namespace ito
