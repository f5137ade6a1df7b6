// SPDX-License-Identifier: Apache-2.0
// The standard streams of a process as the rest of a program takes them to be: all three open, and a write to a reader
// that has gone an error like any other. Free of libraries, since the front is.
#pragma once
#include <fcntl.h>

#include <cerrno>
#include <csignal>

namespace ito {

// First of all in main(). A service may start a program without standard streams; the first file of a run would then be
// descriptor 1 or 2 and get the messages. Without SIGPIPE a training run outlives the pager that showed its progress.
inline void prepare_standard_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free descriptor is the one that is taken. Where there is no /dev, a folder stands in.
    if (::open("/dev/null", O_RDWR) < 0) (void)::open("/", O_RDONLY);
  }
}

}  // namespace ito
