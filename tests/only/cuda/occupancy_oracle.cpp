// SPDX-License-Identifier: Apache-2.0
// Resident blocks a multiprocessor as the toolkit's own calculator gives them, for tests/tools/test_static_bars.py.
// Reads lines "capability threads-of-a-multiprocessor shared-of-a-multiprocessor registers threads shared" (capability
// 80 for 8.0) and prints the blocks of each.
#include <cuda_occupancy.h>

#include <iostream>

int main() {
  int capability = 0, limit_threads = 0, limit_shared = 0, registers = 0, threads = 0;
  size_t shared = 0;
  while (std::cin >> capability >> limit_threads >> limit_shared >> registers >> threads >> shared) {
    cudaOccDeviceProp device;
    device.computeMajor = capability / 10;
    device.computeMinor = capability % 10;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = limit_threads;
    device.regsPerBlock = 65536;
    device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.numSms = 1;
    device.sharedMemPerMultiprocessor = static_cast<size_t>(limit_shared);
    device.sharedMemPerBlock = 48 * 1024;
    device.sharedMemPerBlockOptin = static_cast<size_t>(limit_shared) - 1024;
    device.reservedSharedMemPerBlock = 1024;
    cudaOccFuncAttributes kernel;
    kernel.numRegs = registers;
    kernel.maxThreadsPerBlock = 1024;
    kernel.sharedSizeBytes = 0;
    kernel.maxDynamicSharedSizeBytes = shared;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    cudaOccDeviceState state;
    state.carveoutConfig = 100;
    cudaOccResult result;
    const auto error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, shared);
    std::cout << (error == CUDA_OCC_SUCCESS ? result.activeBlocksPerMultiprocessor : -error) << '\n';
  }
}
