// SPDX-License-Identifier: Apache-2.0
// See progress.h. The first update is shown at once, the last always.
#include "tools/terminal/progress.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "tools/terminal/messages.h"
#include "tools/terminal/terminal.h"

namespace ito {
namespace {

std::string clock_text(double seconds) {
  const int64_t whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

struct Parts {
  std::string title, count, share, note, rate, left;
  int64_t done, total;

  std::string bar(int width) const {
    return fmt::format("[{:.<{}}] ", std::string(static_cast<size_t>(width * done / total), '#'), width);
  }
};

// What fits into `room` characters. The bar goes first, then the rate, the note, the time left and the title; a count
// is never cut, since another number would be left: the share in per cent stands in, or nothing.
std::string fitted(const Parts& p, bool with_bar, size_t room) {
  const std::string whole = p.title + p.count + p.note + p.rate + p.left;
  std::vector<std::string> from_widest;
  if (with_bar)
    for (const int width : {20, 10}) from_widest.push_back(p.bar(width) + whole);
  from_widest.insert(from_widest.end(), {whole, p.title + p.count + p.note + p.left, p.title + p.count + p.left,
                                         p.title + p.count, p.count, p.share});
  for (const std::string& line : from_widest)
    if (line.size() <= room) return line;
  return "";
}

}  // namespace

Progress::Progress(std::string title, int64_t total, double per_item, std::string unit, int64_t first)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      first_(first),
      per_item_(per_item),
      rewrites_(can_rewrite_line()),
      start_(Clock::now()),
      last_shown_(start_ - std::chrono::hours(1)) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::update(int64_t done, const std::string& note) {
  if (is_quiet()) return;
  const Clock::time_point now = Clock::now();
  const auto interval = rewrites_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(10000);
  if (done < total_ && now - last_shown_ < interval) return;
  last_shown_ = now;
  const double elapsed = seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done - first_) / elapsed : 0;
  const double left = rate > 0 ? static_cast<double>(total_ - done) / rate : 0;
  Parts parts;
  parts.done = done;
  parts.total = total_;
  parts.title = title_ + " ";
  parts.count = fmt::format("{}/{}", done, total_);
  parts.share = fmt::format("{}%", 100 * done / total_);
  if (!note.empty()) parts.note = "  " + note;
  parts.rate = fmt::format("  {:.0f} {}/s", rate * per_item_, unit_);
  parts.left = fmt::format("  {} left", clock_text(left));
  std::fprintf(stderr, rewrites_ ? "\r\033[K%s" : "%s\n", fitted(parts, rewrites_, line_room()).c_str());
  if (rewrites_) open_line = true;
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
  if (open_line.exchange(false)) std::fputc('\n', stderr);
}

}  // namespace ito
