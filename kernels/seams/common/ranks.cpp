// SPDX-License-Identifier: Apache-2.0
// Who started this process, and the MPI module that is opened if it is one of several.
#include "kernels/seams/common/ranks.h"

#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace ito {
namespace {

constexpr char kModule[] = "ito-mpi.so";
constexpr char kPackages[] = "openmpi-bin and libopenmpi-dev";

// 0: not set, or no number.
int number_of(const char* variable) {
  const char* text = getenv(variable);
  return text ? atoi(text) : 0;
}

std::string module_path() {
  if (const char* path = getenv("ITO_MPI_MODULE"); path && *path) return path;
  char program[4096];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program);
  const std::string path(program, length > 0 ? static_cast<size_t>(length) : 0);
  return path.substr(0, path.rfind('/') + 1) + kModule;
}

const MpiVerbs* open_module(const Launcher& launcher) {
  const std::string path = module_path();
  const std::string started = launcher.variable + " says that this process is one of several ranks, but ";
  if (access(path.c_str(), R_OK) != 0)
    fail<UserError>(started, path, " is not there, which is built where MPI is found: install ", kPackages,
                    " and build again, or give its path in ITO_MPI_MODULE");
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) fail<UserError>(started, path, " does not load: ", dlerror(), "; install ", kPackages);
  const auto function = reinterpret_cast<MpiVerbsFunction*>(dlsym(library, kMpiVerbsFunction));
  if (!function) fail<UserError>(started, path, " is no MPI module of this program: it has no ", kMpiVerbsFunction);
  const MpiVerbs* verbs = function();
  ITO_USER_CHECK(verbs->version == kMpiVerbsVersion, path, " is version ", verbs->version,
                 " of the MPI module, expected ", kMpiVerbsVersion, "; build it with this program");
  return verbs;
}

}  // namespace

Launcher launcher_of_environment() {
  if (const int size = number_of("OMPI_COMM_WORLD_SIZE")) return {size, "OMPI_COMM_WORLD_SIZE"};
  // A shell inside an allocation has the tasks' number too, but no place among them.
  if (const int size = getenv("SLURM_PROCID") ? number_of("SLURM_NTASKS") : 0) return {size, "SLURM_NTASKS"};
  if (const int size = number_of("PMI_SIZE")) return {size, "PMI_SIZE"};
  if (getenv("PMIX_RANK") && getenv("PMIX_NAMESPACE")) return {0, "PMIX_RANK"};
  return {};
}

namespace {

// srun --mpi=none gives its tasks a number each and no way to each other: MPI then ends each of them in many words, or
// starts every one as a run of its own.
void check_way_to_others(const Launcher& launcher) {
  if (launcher.variable != "SLURM_NTASKS") return;
  for (const char* variable : {"PMIX_RANK", "PMI_RANK", "PMI_FD"})
    if (getenv(variable)) return;
  fail<UserError>(launcher.variable, " is ", launcher.size,
                  ", but srun gave this task no way to the others; start with srun and its pmix plugin");
}

}  // namespace

Ranks::Ranks(const Launcher& launcher) {
  check_way_to_others(launcher);
  verbs_ = open_module(launcher);
  if (const char* error = verbs_->start(&place_)) fail<UserError>("MPI does not start: ", error);
  ITO_USER_CHECK(
      launcher.size == 0 || launcher.size == place_.size, launcher.variable, " is ", launcher.size,
      ", but MPI started with ", place_.size, place_.size == 1 ? " rank" : " ranks", " on ", place_.host,
      ": the launcher and ", kModule,
      " are of different kinds, or do not meet; start with mpirun of Open MPI, or with srun and its pmix plugin");
}

void Ranks::check(const char* error) const {
  if (error) fail("rank ", place_.rank, " of ", place_.size, " on ", place_.host, ": ", error);
}

void Ranks::exchange(std::span<const MpiMessage> sends, std::span<const MpiMessage> receives, double seconds) {
  ITO_CHECK(!finished_, "an exchange after the communicator's end");
  check(verbs_->exchange(sends.data(), sends.size(), receives.data(), receives.size(), seconds));
}

void Ranks::gather(void* all, const void* own, size_t bytes, double seconds) {
  std::vector<MpiMessage> sends, receives;
  for (int peer = 0; peer < place_.size; ++peer) {
    sends.push_back({peer, const_cast<void*>(own), bytes});
    receives.push_back({peer, static_cast<char*>(all) + static_cast<size_t>(peer) * bytes, bytes});
  }
  exchange(sends, receives, seconds);
}

void Ranks::broadcast(void* data, size_t bytes, int root) {
  ITO_CHECK(!finished_, "a broadcast after the communicator's end");
  check(verbs_->broadcast(data, bytes, root));
}

void Ranks::barrier() {
  check(verbs_->barrier());
}

std::vector<std::string> Ranks::gather_text(const std::string& text) {
  std::vector<std::string> texts(static_cast<size_t>(place_.size));
  std::vector<size_t> lengths(texts.size());
  const size_t own_length = text.size();
  gather(lengths.data(), &own_length, sizeof own_length);
  std::vector<MpiMessage> sends, receives;
  for (size_t i = 0; i < texts.size(); ++i) {
    texts[i].resize(lengths[i]);
    sends.push_back({static_cast<int>(i), const_cast<char*>(text.data()), text.size()});
    receives.push_back({static_cast<int>(i), texts[i].data(), texts[i].size()});
  }
  exchange(sends, receives);
  return texts;
}

void Ranks::finish() {
  finished_ = true;
  check(verbs_->finish());
}

void Ranks::abort(const std::string& message, int exit_code) {
  // What all ranks meet, a wrong option, say, the first then tells alone.
  if (place_.rank > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
  write_last_line(place_, message);
  if (!finished_) verbs_->abort(exit_code);
  _exit(exit_code);
}

void write_last_line(const MpiPlace& place, const std::string& message) {
  fflush(nullptr);
  // One write, so that the lines of ranks do not mix; and no warning, because the process ends here.
  const std::string line = join_text("rank ", place.rank, " of ", place.size, " on ", place.host, ": ", message, "\n");
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace ito
