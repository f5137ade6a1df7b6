// SPDX-License-Identifier: Apache-2.0
// Ranks as the host sees them, by MPI, and what a device library adds for its memory.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/seams/comm.h"
#include "kernels/seams/common/mpi_verbs.h"

namespace ito {

// What the environment says of a launcher.
struct Launcher {
  int size = 1;          // ranks; 1: none, or one that started this process alone; 0: it does not say
  std::string variable;  // that says so
};
Launcher launcher_of_environment();

// MPI in this process, on host memory. Errors are thrown in one line with rank and host.
class Ranks {
 public:
  explicit Ranks(const Launcher& launcher);  // opens the module and starts MPI; UserError if that is not to be had
  const MpiPlace& place() const { return place_; }
  void exchange(std::span<const MpiMessage> sends, std::span<const MpiMessage> receives, double seconds = 0);
  void broadcast(void* data, size_t bytes, int root);
  void barrier();
  void gather(void* all, const void* own, size_t bytes, double seconds = 0);
  std::vector<std::string> gather_text(const std::string& text);  // one a rank
  void finish();
  [[noreturn]] void abort(const std::string& message, int exit_code);

 private:
  void check(const char* error) const;
  const MpiVerbs* verbs_ = nullptr;
  MpiPlace place_{};
  bool finished_ = false;
};

// Of this process: MPI starts once. Null: alone.
std::shared_ptr<Ranks>& started_ranks();

// `rank R of S on HOST: message` on stderr, after what was written before it.
void write_last_line(const MpiPlace& place, const std::string& message);

// The verbs on device memory, between at least two ranks and without what a rank sends to itself.
class DeviceRanks {
 public:
  virtual ~DeviceRanks() = default;
  virtual void exchange(Stream& stream, std::vector<MpiMessage> sends, std::vector<MpiMessage> receives) = 0;
  // own stands apart from all, or at its place there.
  virtual void all_gather(Stream& stream, void* all, const void* own, size_t bytes) = 0;
  virtual void broadcast(Stream& stream, void* data, size_t bytes, int root) = 0;
};
std::unique_ptr<DeviceRanks> make_device_ranks(std::shared_ptr<Ranks> ranks);  // of the device library

}  // namespace ito
