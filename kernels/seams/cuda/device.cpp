// SPDX-License-Identifier: Apache-2.0
// The cuda device: which card, and whether this program can use it.
#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

constexpr int kLeastMajor = 8;  // bf16 tensor cores and asynchronous copies

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

DeviceFacts ask() {
  DeviceFacts facts;
  (void)cudaRuntimeGetVersion(&facts.runtime);
  (void)cudaDriverGetVersion(&facts.driver);
  facts.status = cudaGetDeviceCount(&facts.count);
  if (facts.status != cudaSuccess || facts.count == 0) return facts;
  cudaDeviceProp card{};
  facts.status = cudaGetDeviceProperties(&card, 0);
  if (facts.status != cudaSuccess) return facts;
  facts.name = card.name;
  facts.major = card.major;
  facts.minor = card.minor;
  cudaFuncAttributes code{};
  facts.code = cudaFuncGetAttributes(&code, loop_turn_function());
  (void)cudaGetLastError();
  return facts;
}

}  // namespace

std::string why_unusable(const DeviceFacts& f) {
  if (f.driver == 0)
    return "no NVIDIA driver is installed; install one for CUDA " + version_text(f.runtime) + ", or run on the CPU";
  if (f.status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver serves CUDA up to " + version_text(f.driver) + ", this program needs " +
           version_text(f.runtime) + "; install a newer driver, or run on the CPU";
  if (f.status == cudaErrorNoDevice || (f.status == cudaSuccess && f.count == 0))
    return "no device: the driver sees no NVIDIA GPU (is CUDA_VISIBLE_DEVICES set?); run on the CPU";
  if (f.status != cudaSuccess)
    return std::string("no device: ") + cudaGetErrorName(f.status) + ": " + cudaGetErrorString(f.status) +
           "; run on the CPU";
  const std::string card = f.name + " (sm_" + std::to_string(f.major) + std::to_string(f.minor) + ")";
  if (f.major < kLeastMajor) return card + " is too old: ito needs sm_80 or newer; run on the CPU";
  if (f.code != cudaSuccess)
    return "this program has no code for " + card + " (" + cudaGetErrorName(f.code) +
           "); build it with -DCMAKE_CUDA_ARCHITECTURES=" + std::to_string(f.major) + std::to_string(f.minor) +
           ", or run on the CPU";
  return "";
}

namespace {

const std::string& problem() {
  static const std::string text = why_unusable(ask());
  return text;
}

}  // namespace

void require_device() {
  if (!device_usable()) fail<UserError>(problem());
}

bool device_usable() {
  return problem().empty();
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
