// SPDX-License-Identifier: Apache-2.0
// Kernels with known faults and known virtues, which show that tools/static_bars sees both. Compiled by
// tests/tools/test_static_bars.py alone: no part of the product, and no dialect, so that nothing else can change it.
#include <cstdint>

namespace ito {
namespace {

constexpr int kLive = 160;

// 1024 threads leave 64 registers a thread; kLive values stay alive across the barrier.
__global__ void __launch_bounds__(1024) spilling_kernel(float* p, int n) {
  float kept[kLive];
#pragma unroll
  for (int i = 0; i < kLive; ++i) kept[i] = p[i * n + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kLive; ++i) p[i * n + threadIdx.x + 1] = kept[i] * kept[kLive - 1 - i];
}

// An index known only at run time puts the array into local memory; no register is spilled.
__global__ void local_array_kernel(float* p, const int* index, int n) {
  float kept[64];
  for (int i = 0; i < 64; ++i) kept[i] = p[i * n];
  for (int i = 0; i < n; ++i) kept[index[i] & 63] += 1.0f;
  float sum = 0;
  for (int i = 0; i < 64; ++i) sum += kept[i] * kept[63 - i];
  p[threadIdx.x] = sum;
}

template <class T>
__global__ void copy_kernel(T* out, const T* in) {
  out[threadIdx.x] = in[threadIdx.x];
}

// Loads with a sign.
__global__ void widen_kernel(int* out, const short* a, const signed char* b) {
  out[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}

template <auto Body, class... Args>
__global__ void for_each_kernel(int64_t n, Args... args) {
  if (threadIdx.x < n) Body(threadIdx.x, args...);
}
template <bool TWICE>
__device__ void scale_element(int64_t i, float* p, float a) {
  p[i] *= TWICE ? a * a : a;
}

// One of each: an asynchronous copy, an ldmatrix, a product on the tensor cores.
__global__ void tensor_kernel(float4* out, const int4* in) {
  __shared__ int4 tile[64];
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(tile + threadIdx.x));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(address), "l"(in + threadIdx.x) : "memory");
  asm volatile("cp.async.commit_group;\ncp.async.wait_group 0;\n" ::: "memory");
  __syncthreads();
  uint32_t a[4];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(address)
               : "memory");
  float c[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%4, %6}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]));
  out[threadIdx.x] = make_float4(c[0], c[1], c[2], c[3]);
}

}  // namespace

void launch_planted(float* p, const int* index, int n) {
  spilling_kernel<<<1, 1024>>>(p, n);
  local_array_kernel<<<1, 32>>>(p, index, n);
  copy_kernel<<<1, 32>>>(reinterpret_cast<int4*>(p), reinterpret_cast<const int4*>(index));
  copy_kernel<<<1, 32>>>(reinterpret_cast<int*>(p), index);
  copy_kernel<<<1, 32>>>(reinterpret_cast<short*>(p), reinterpret_cast<const short*>(index));
  copy_kernel<<<1, 32>>>(reinterpret_cast<char*>(p), reinterpret_cast<const char*>(index));
  widen_kernel<<<1, 32>>>(reinterpret_cast<int*>(p), reinterpret_cast<const short*>(index),
                          reinterpret_cast<const signed char*>(index));
  for_each_kernel<&scale_element<false>><<<1, 32>>>(n, p, 2.0f);
  for_each_kernel<&scale_element<true>><<<1, 32>>>(n, p, 2.0f);
  tensor_kernel<<<1, 32>>>(reinterpret_cast<float4*>(p), reinterpret_cast<const int4*>(index));
}

}  // namespace ito
