// SPDX-License-Identifier: Apache-2.0
// What stands between a program and its MPI module (seams/mpi): plain C types, so that the program needs no MPI to
// start, and the module no code of the program.
#pragma once
#include <cstddef>

namespace ito {

struct MpiMessage {
  int peer;
  void* data;  // of a send, only read
  size_t bytes;
};

struct MpiPlace {
  int rank, size, local_rank, local_size;  // local: among those of this host
  char host[256];
};

// Verbs return null, or one line that says what failed; it stays until the next call.
struct MpiVerbs {
  int version;  // kMpiVerbsVersion of the module
  const char* (*start)(MpiPlace* place);
  // seconds: after which the peers that nothing came from are named; 0: never.
  const char* (*exchange)(const MpiMessage* sends, size_t send_count, const MpiMessage* receives, size_t receive_count,
                          double seconds);
  const char* (*broadcast)(void* data, size_t bytes, int root);
  const char* (*barrier)();
  const char* (*finish)();
  void (*abort)(int exit_code);
};

inline constexpr int kMpiVerbsVersion = 2;
inline constexpr char kMpiVerbsFunction[] = "ito_mpi_verbs";
using MpiVerbsFunction = const MpiVerbs*();

}  // namespace ito
