// SPDX-License-Identifier: Apache-2.0
// Ranks: processes of one run, each with a device of its own, that exchange bytes. Nothing here adds numbers, because a
// library's order of sums changes with topology, size and call; sums are joined by kernels (kernels/sum_tree.h). A
// program is started by mpirun or srun --mpi=pmix; alone, it is the only rank, and no library is opened.
//
// All ranks call the same verbs in the same order. No verb has a time limit of its own: a rank whose peer hangs waits
// as long as the launcher lets it. A peer that ends, whether by abort, by a signal or without the communicator's end,
// is seen by the launcher, which ends the others.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/seams/device.h"

namespace ito {

struct Send {
  int peer;
  const void* data;
  size_t bytes;
};
struct Receive {
  int peer;
  void* data;
  size_t bytes;
};

// Verbs may come from any thread, one at a time. Its end is the end of all ranks' talk, for which they wait for each
// other; while an exception passes it is left open, so that the process's end is seen as a failure.
class Communicator {
 public:
  struct Impl;
  explicit Communicator(std::unique_ptr<Impl> impl);
  ~Communicator();
  Communicator(Communicator&&) noexcept;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this host
  int local_size() const;
  const std::string& host() const;

  // Launches on device memory, which may be captured. Graphs that hold them go before the communicator does.
  // Bytes to and from any peers: between two ranks the i-th send meets the i-th receive, of the same size. What is sent
  // to oneself is copied. No receive overlaps a send or another receive.
  void exchange(Stream& stream, std::span<const Send> sends, std::span<const Receive> receives);
  // all: (size, bytes); own: bytes, apart from all or this rank's place in it.
  void all_gather(Stream& stream, void* all, const void* own, size_t bytes);
  void broadcast(Stream& stream, void* data, size_t bytes, int root);

  // On the host, for start-up, results, files and errors. They have happened when the call returns.
  void exchange_on_host(std::span<const Send> sends, std::span<const Receive> receives);  // as exchange
  void barrier();
  void gather(void* all, const void* own, size_t bytes);          // all: (size, bytes), in the order of ranks
  std::vector<std::string> gather_text(const std::string& text);  // one a rank, on every rank
  // Waits for all ranks as long as ITO_START_LIMIT says, in seconds (600 if it is not set); Error that names those that
  // did not come.
  void meet();
  [[noreturn]] void abort(const std::string& message, int exit_code = 1);

 private:
  std::unique_ptr<Impl> impl_;
};

// The ranks that the launcher started, or this process alone. UserError in one line if they cannot talk. Once a
// process, and before the first use of the device, since each rank of a host takes its own card.
Communicator start_communicator();

// This process as the only rank, whatever started it: for work that belongs to it alone.
Communicator lone_communicator();

// What the top of a program calls with an error that it caught: of several ranks, writes `rank R of S on HOST: message`
// and ends them all, the first rank at once, another after a second; alone, returns. Works when the communicator is
// gone.
void abort_ranks(const std::string& message, int exit_code);

}  // namespace ito
