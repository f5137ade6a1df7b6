// SPDX-License-Identifier: Apache-2.0
// `ito`: picks the worker for this machine and becomes it, so that signals and exit codes are the worker's. It links
// neither OpenMP nor oneDNN nor CUDA: the start-up of the first two pins the process to cores, and the mask would
// survive exec. Whether there is a GPU it asks the driver's own library, if that is installed.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tools/gpu_driver.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/streams.h"

namespace {

std::string own_folder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length <= 0) return ".";
  path[length] = 0;
  return std::string(path, std::strrchr(path, '/') - path);
}

bool runs(const std::string& path) {
  return access(path.c_str(), X_OK) == 0;
}

// Where the workers are: beside the front, as they are built, or in ../libexec/ito, as they are installed.
std::string workers_folder() {
  const std::string beside = own_folder();
  for (const std::string& folder : {beside, beside + "/../libexec/ito"})
    for (const char* worker : {"/ito-cpu", "/ito-cuda"})
      if (runs(folder + worker)) return folder;
  return beside;
}

// Whether the driver has a GPU that ito-cuda runs on. One that is too old is told of.
bool has_usable_gpu() {
  const ito::GpuFound gpu = ito::usable_gpu();
  if (!gpu.too_old.empty()) ito::print_error(gpu.too_old);
  return gpu.usable;
}

// The value of --device, wherever it stands; "auto" if it does not.
std::string wanted_device(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--device") == 0 && i + 1 < argc) return argv[i + 1];
    if (std::strncmp(argv[i], "--device=", 9) == 0) return argv[i] + 9;
  }
  return "auto";
}

// Empty if no worker for the CPU can run here; the reason has been printed.
std::string cpu_worker(const std::string& folder) {
  std::string worker = folder + "/ito-cpu";
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("x86-64-v3")) {
    ito::print_error("this processor lacks AVX2 and FMA (x86-64-v3), which ito is compiled for");
    return "";
  }
  if (__builtin_cpu_supports("x86-64-v4") && runs(folder + "/ito-cpu-v4")) worker = folder + "/ito-cpu-v4";
#endif
  if (runs(worker)) return worker;
  ito::print_error(worker + " is not there; build it with tools/test.sh");
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  ito::prepare_standard_streams();  // the worker inherits them
  const std::string device = wanted_device(argc, argv);
  const std::string folder = workers_folder(), on_gpu = folder + "/ito-cuda";
  if (device != "auto" && device != "cpu" && device != "cuda") {
    ito::print_error("--device " + device + ": expected auto, cuda or cpu");
    return 2;
  }
  if (device == "cuda" && !runs(on_gpu)) {
    ito::print_error(
        "--device cuda: this build has no CUDA worker; build one with cmake --preset cuda, or use --device cpu");
    return 2;
  }
  const bool cuda = device == "cuda" || (device == "auto" && runs(on_gpu) && has_usable_gpu());
  const std::string worker = cuda ? on_gpu : cpu_worker(folder);
  if (worker.empty()) return 1;
  execv(worker.c_str(), argv);
  ito::print_error("cannot start " + worker + ": " + std::strerror(errno));
  return 1;
}
