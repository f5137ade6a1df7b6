// SPDX-License-Identifier: Apache-2.0
// An H100's properties, as cuDNN writes a device's: with it plans are made where there is no card.
#pragma once
#include <string>

#include "kernels/seams/cuda/backend_graph.h"

namespace ito::test {

inline constexpr const char* kH100 =
    R"({"deviceName":"NVIDIA H100","cudaDeviceId":0,"deviceVer":900,"driverVer":13000,)"
    R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
    R"("multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,)"
    R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"smClockRateKHz":1980000,)"
    R"("memClockRateKHz":2619000,"l2CacheSize":52428800,"pciDeviceId":0,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,)"
    R"("maxThreadsPerSM":2048,"isTccDriver":0,"supportCoopLaunch":1,"totalGlobalMem":85029158912})";

// The target of plans for it; null where cuDNN is not installed.
struct DescribedH100 {
  DescribedH100() {
    if (!cuda::cudnn()) return;
    device = cuda::describe_device(*cuda::cudnn(), kH100);
    target = {cuda::cudnn(), nullptr, &device};
  }
  explicit operator bool() const { return target.api != nullptr; }
  cuda::Descriptor device;
  cuda::Target target;
};

}  // namespace ito::test
