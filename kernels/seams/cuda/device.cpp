// SPDX-License-Identifier: Apache-2.0
// The cuda device: which card, and whether this program can use it.
#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

constexpr int kLeastMajor = 8;  // bf16 tensor cores and asynchronous copies

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// One line for a user who has no card, or another than he thought.
std::string why_unusable() {
  int count = 0, runtime = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  (void)cudaRuntimeGetVersion(&runtime);
  (void)cudaDriverGetVersion(&driver);  // 0: none
  if (status == cudaErrorInsufficientDriver || driver == 0)
    return driver ? "the NVIDIA driver serves CUDA up to " + version_text(driver) + ", this program needs " +
                        version_text(runtime) + "; install a newer driver, or use --device cpu"
                  : "no NVIDIA driver is installed; install one for CUDA " + version_text(runtime) +
                        ", or use --device cpu";
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    return "no device: the driver sees no NVIDIA GPU (is CUDA_VISIBLE_DEVICES set?); use --device cpu";
  if (status != cudaSuccess)
    return std::string("no device: ") + cudaGetErrorName(status) + ": " + cudaGetErrorString(status) +
           "; use --device cpu";
  cudaDeviceProp card{};
  if (const cudaError_t error = cudaGetDeviceProperties(&card, 0); error != cudaSuccess)
    return std::string("no device: ") + cudaGetErrorName(error) + ": " + cudaGetErrorString(error) +
           "; use --device cpu";
  const std::string name =
      std::string(card.name) + " (sm_" + std::to_string(card.major) + std::to_string(card.minor) + ")";
  if (card.major < kLeastMajor) return name + " is too old: ito needs sm_80 or newer; use --device cpu";
  cudaFuncAttributes code{};
  if (const cudaError_t error = cudaFuncGetAttributes(&code, loop_turn_function()); error != cudaSuccess) {
    (void)cudaGetLastError();
    return "this program has no code for " + name + " (" + cudaGetErrorName(error) +
           "); build it with -DCMAKE_CUDA_ARCHITECTURES=" + std::to_string(card.major) + std::to_string(card.minor) +
           ", or use --device cpu";
  }
  return "";
}

}  // namespace

void require_device() {
  static const std::string problem = why_unusable();
  if (!problem.empty()) fail<UserError>(problem);
}

const char* device_name() {
  static const std::string name = [] {
    cudaDeviceProp card{};
    return cudaGetDeviceProperties(&card, 0) == cudaSuccess ? std::string(card.name) : std::string("no GPU");
  }();
  return name.c_str();
}

bool device_has_bf16() {
  return true;
}  // every card that require_device accepts

int images_per_chunk() {
  return 16;
}

void set_device_threads(int) {}

int device_threads() {
  return 1;
}

}  // namespace ito
