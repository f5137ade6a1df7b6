// SPDX-License-Identifier: Apache-2.0
// See start_watch.h. Each rank that waits says so; the one that says nothing is the one that is missing.
#include "kernels/seams/common/start_watch.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace ito {

double start_limit() {
  const char* text = getenv("ITO_START_LIMIT");
  const int seconds = text ? atoi(text) : 0;
  return seconds > 0 ? seconds : 600;
}

StartWatch::StartWatch(const Launcher& launcher) : thread_([this, launcher] { watch(launcher); }) {}

StartWatch::~StartWatch() {
  {
    const std::lock_guard lock(mutex_);
    started_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void StartWatch::watch(const Launcher& launcher) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, std::chrono::duration<double>(start_limit()), [this] { return started_; })) return;
  MpiPlace place{};
  place.size = launcher.size;
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "PMI_RANK", "PMIX_RANK"})
    if (const char* text = getenv(variable)) {
      place.rank = atoi(text);
      break;
    }
  gethostname(place.host, sizeof place.host - 1);
  write_last_line(place, join_text("the ranks have not met within ", start_limit(),
                                   " s: one that says no such line is missing, or its host cannot be reached"));
  _exit(1);
}

}  // namespace ito
