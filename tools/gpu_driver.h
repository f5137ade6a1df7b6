// SPDX-License-Identifier: Apache-2.0
// Whether this machine has a GPU that ito runs on, as the driver's own library says, if that is installed: asked by
// what must start without it, the command's front and libito.
#pragma once
#include <dlfcn.h>

#include <string>

namespace ito {

struct GpuFound {
  bool usable = false;
  std::string too_old = {};  // a GPU that is there and cannot be used, in words: its owner may wonder
};

inline GpuFound usable_gpu() {
  constexpr int kMajorOfCapability = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver) return {};
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  const auto attribute = reinterpret_cast<int (*)(int*, int, int)>(dlsym(driver, "cuDeviceGetAttribute"));
  int devices = 0, major = 0;
  if (!init || !count || !attribute || init(0) != 0 || count(&devices) != 0 || devices == 0) return {};
  if (attribute(&major, kMajorOfCapability, 0) != 0) return {};
  if (major >= 8) return {.usable = true};
  return {.too_old =
              "the GPU has compute capability " + std::to_string(major) + ", and 8 or more is needed; using the CPU"};
}

}  // namespace ito
