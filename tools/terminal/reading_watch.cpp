// SPDX-License-Identifier: Apache-2.0
// See reading_watch.h. A thread of its own looks, since a format that reads one large file has nothing to say
// meanwhile.
#include "tools/terminal/reading_watch.h"

#include <chrono>
#include <optional>
#include <utility>

#include "tools/terminal/messages.h"
#include "tools/terminal/progress.h"

namespace ito {
namespace {

constexpr int kMoment = 1000, kInterval = 200;  // milliseconds

}  // namespace

ReadingWatch::ReadingWatch(std::string name) : name_(std::move(name)), thread_([this] { run(); }) {}

ReadingWatch::~ReadingWatch() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  finished_.notify_one();
  thread_.join();
}

bool ReadingWatch::finished_within(int milliseconds) {
  std::unique_lock lock(mutex_);
  return finished_.wait_for(lock, std::chrono::milliseconds(milliseconds), [this] { return finishing_; });
}

void ReadingWatch::run() {
  if (finished_within(kMoment)) return;
  print_note("reading " + name_);
  std::optional<Progress> shown;
  do {
    const int64_t total = progress_.total, done = progress_.done;
    if (!total) continue;
    if (!shown) shown.emplace("reading", total, 1, "images", done);
    shown->update(done);
  } while (!finished_within(kInterval));
}

}  // namespace ito
