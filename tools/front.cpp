// SPDX-License-Identifier: Apache-2.0
// `ito`: picks the worker for this machine and becomes it, so that signals and exit codes are the worker's. It links
// neither OpenMP nor oneDNN: their start-up pins the process to cores, and the mask would survive exec.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

std::string own_folder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length <= 0) return ".";
  path[length] = 0;
  return std::string(path, std::strrchr(path, '/') - path);
}

// The value of --device, wherever it stands; "auto" if it does not.
std::string wanted_device(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--device") == 0 && i + 1 < argc) return argv[i + 1];
    if (std::strncmp(argv[i], "--device=", 9) == 0) return argv[i] + 9;
  }
  return "auto";
}

bool runs(const std::string& path) {
  return access(path.c_str(), X_OK) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string device = wanted_device(argc, argv);
  const std::string folder = own_folder();
  if (device != "auto" && device != "cpu" && device != "cuda") {
    std::fprintf(stderr, "ito: --device %s: expected auto, cuda or cpu\n", device.c_str());
    return 2;
  }
  if (device == "cuda") {
    std::fprintf(stderr, "ito: --device cuda: this build has no CUDA worker; use --device cpu\n");
    return 2;
  }
  std::string worker = folder + "/ito-cpu";
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("x86-64-v3")) {
    std::fprintf(stderr, "ito: this processor lacks AVX2 and FMA (x86-64-v3), which ito is compiled for\n");
    return 1;
  }
  if (__builtin_cpu_supports("x86-64-v4") && runs(folder + "/ito-cpu-v4")) worker = folder + "/ito-cpu-v4";
#endif
  if (!runs(worker)) {
    std::fprintf(stderr, "ito: %s is not there; build it with tools/test.sh\n", worker.c_str());
    return 1;
  }
  execv(worker.c_str(), argv);
  std::fprintf(stderr, "ito: cannot start %s: %s\n", worker.c_str(), std::strerror(errno));
  return 1;
}
