// SPDX-License-Identifier: Apache-2.0
// The dialect on a GPU: each word is the instruction or the few instructions it stands for.
#pragma once
#include <atomic>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#define DEVICE __device__ __forceinline__
#define KERNEL static __global__

#include "kernels/seams/cuda/stream.h"
#include "kernels/types.h"

// Words that only exist on the device.
#define ITO_DEVICE_ONLY __device__ __forceinline__

namespace ito {

// What math.h is made of; host_math.h has the same bits for a host.
ITO_DEVICE_ONLY float clamp_to(float bound, float x) {
  return fminf(fmaxf(x, -bound), bound);
}

// The fast path of the compiler's own division, without the branch for operands that are not in [1, 2^126): the
// approximation is within a unit in the last place, and one step of Newton's rounds it correctly.
ITO_DEVICE_ONLY float reciprocal(float d) {
  float approximate;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(approximate) : "f"(d));
  return fmaf(fmaf(-d, approximate, 1.0f), approximate, approximate);
}

ITO_DEVICE_ONLY bf16 round_to_bf16(float x) {
  bf16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(x));
  return rounded;
}

}  // namespace ito

#include "kernels/dialect/math.h"

namespace ito {

inline constexpr int WARP = 32;
constexpr int block_threads(int block) {
  return block;
}

#define BLOCK_LOOP(i, n) for (int64_t i = threadIdx.x, i##_end = (n); i < i##_end; i += blockDim.x)
#define GRID_LOOP(i, n)                                                                        \
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, i##_end = (n); i < i##_end; \
       i += int64_t{gridDim.x} * blockDim.x)
#define FRAGMENT_LOOP(i, n) _Pragma("unroll") for (int i = 0; i < (n); ++i)
#define SHARED(T, name, n) __shared__ __align__(16) T name[n]  // of words that take 16 bytes

template <class T>
ITO_DEVICE_ONLY T* dyn_shared() {
  extern __shared__ __align__(128) unsigned char ito_dynamic_shared[];
  return reinterpret_cast<T*>(ito_dynamic_shared);
}

ITO_DEVICE_ONLY void block_sync() {
  __syncthreads();
}

namespace dialect {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;

ITO_DEVICE_ONLY float larger(float a, float b) {
  return fmaxf(a, b);
}
ITO_DEVICE_ONLY double larger(double a, double b) {
  return fmax(a, b);
}
ITO_DEVICE_ONLY int larger(int a, int b) {
  return a > b ? a : b;
}

template <class T>
constexpr bool kReducible = std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int>;

}  // namespace dialect

template <class T>
ITO_DEVICE_ONLY T shfl_xor(T v, int mask) {
  return __shfl_xor_sync(dialect::kAllLanes, v, mask);
}
template <class T>
ITO_DEVICE_ONLY T shfl_down(T v, int delta) {
  return __shfl_down_sync(dialect::kAllLanes, v, delta);
}

template <class T>
ITO_DEVICE_ONLY T warp_sum(T v) {
  static_assert(dialect::kReducible<T>, "sums and maxima are of float, double or int");
#pragma unroll
  for (int half = WARP / 2; half; half /= 2) v += shfl_xor(v, half);
  return v;
}
template <class T>
ITO_DEVICE_ONLY T warp_max(T v) {
  static_assert(dialect::kReducible<T>, "sums and maxima are of float, double or int");
#pragma unroll
  for (int half = WARP / 2; half; half /= 2) v = dialect::larger(v, shfl_xor(v, half));
  return v;
}

// Results of the warps through shared memory, then every warp folds them again: the same bits in all threads.
// The first barrier protects the scratch of an earlier call.
template <class T>
ITO_DEVICE_ONLY T block_sum(T v) {
  __shared__ T of_warp[WARP];
  v = warp_sum(v);
  __syncthreads();
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = v;
  __syncthreads();
  const unsigned lane = threadIdx.x % WARP;
  return warp_sum(lane < blockDim.x / WARP ? of_warp[lane] : T(0));
}
template <class T>
ITO_DEVICE_ONLY T block_max(T v) {
  __shared__ T of_warp[WARP];
  v = warp_max(v);
  __syncthreads();
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = v;
  __syncthreads();
  const unsigned lane = threadIdx.x % WARP;
  return warp_max(of_warp[lane < blockDim.x / WARP ? lane : 0]);
}

template <class T>
ITO_DEVICE_ONLY T atomic_add(T* p, std::type_identity_t<T> v) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "only integers: a float sum would depend on the order of arrival");
  if constexpr (sizeof(T) == 8)
    return static_cast<T>(atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(v)));
  else
    return atomicAdd(p, v);
}

// Release before the ticket, acquire after it: the last block sees what all others wrote.
ITO_DEVICE_ONLY bool last_block(unsigned* ticket, unsigned blocks) {
  __shared__ int last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1u) + 1 == blocks;
    if (last) *ticket = 0;
  }
  __syncthreads();
  const bool result = last != 0;
  __syncthreads();  // before another call may write `last`
  __threadfence();
  return result;
}

// The GPU's clock, one for all its multiprocessors. It goes in steps, of up to a microsecond.
ITO_DEVICE_ONLY uint64_t clock_nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)::"memory");
  return now;
}

namespace dialect {

template <int Bytes>
struct VectorOf {
  static constexpr int kChunk = Bytes % 16 == 0 ? 16 : Bytes;
  static_assert(kChunk == 16 || kChunk == 8 || kChunk == 4 || kChunk == 2, "Packed holds 2, 4, 8 or k * 16 bytes");
  using type =
      std::conditional_t<kChunk == 16, uint4,
                         std::conditional_t<kChunk == 8, uint2, std::conditional_t<kChunk == 4, uint32_t, uint16_t>>>;
};

}  // namespace dialect

template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Packed {
  using Vector = typename dialect::VectorOf<static_cast<int>(sizeof(T)) * N>::type;
  static constexpr int kVectors = static_cast<int>(sizeof(T) * N / sizeof(Vector));
  T v[N];
  DEVICE static Packed load(const T* p) {
    Packed out;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) reinterpret_cast<Vector*>(out.v)[i] = reinterpret_cast<const Vector*>(p)[i];
    return out;
  }
  DEVICE void store(T* p) const {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) reinterpret_cast<Vector*>(p)[i] = reinterpret_cast<const Vector*>(v)[i];
  }
  DEVICE T& operator[](int i) {
    return v[i];
  }
  DEVICE const T& operator[](int i) const {
    return v[i];
  }
};

// Calls body(v) for v in [0, V): the numbers of a pack.
template <int V, class Body>
ITO_DEVICE_ONLY void for_lanes(Body&& body) {
#pragma unroll
  for (int v = 0; v < V; ++v) body(v);
}

// f[0..V) = p[0..V), widened; p is aligned to the pack's bytes, or to 16.
template <class T, int V>
ITO_DEVICE_ONLY void load_floats(float (&f)[V], const T* p) {
  const auto pack = Packed<T, V>::load(p);
  if constexpr (std::is_same_v<T, bf16> && V % 2 == 0) {
    const auto* words = reinterpret_cast<const uint32_t*>(pack.v);
#pragma unroll
    for (int i = 0; i < V / 2; ++i) {
      f[2 * i] = __uint_as_float(words[i] << 16);
      f[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
    }
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v) f[v] = to_float(pack[v]);
  }
}

// p[0..V) = f[0..V), rounded to nearest even, two to an instruction.
template <class T, int V>
ITO_DEVICE_ONLY void store_floats(T* p, const float (&f)[V]) {
  Packed<T, V> pack;
  if constexpr (std::is_same_v<T, bf16> && V % 2 == 0) {
    auto* words = reinterpret_cast<uint32_t*>(pack.v);
#pragma unroll
    for (int i = 0; i < V / 2; ++i)
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(words[i]) : "f"(f[2 * i + 1]), "f"(f[2 * i]));
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v) pack[v] = from_float<T>(f[v]);
  }
  pack.store(p);
}

ITO_DEVICE_ONLY unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// Sixteen bytes past the registers, bypassing L1. valid = false reads nothing and writes zeros.
ITO_DEVICE_ONLY void cp_async16(void* shared, const void* global, bool valid = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
ITO_DEVICE_ONLY void cp_async_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
template <int N>
ITO_DEVICE_ONLY void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

// Lane l gives the address of row l % 8 of the 8x8 bf16 matrix l / 8; register i receives matrix i's fragment.
ITO_DEVICE_ONLY void ldmatrix_x4(uint32_t* registers, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
}
ITO_DEVICE_ONLY void ldmatrix_x4_trans(uint32_t* registers, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row))
               : "memory");
}

// Two neighbours of a row as an operand of mma_tile holds them, rounded to nearest even.
ITO_DEVICE_ONLY uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// acc += a * b over MT x NT tiles of m16n8k16: bf16 products, fp32 sums.
template <int MT, int NT>
ITO_DEVICE_ONLY void mma_tile(float (&acc)[MT][NT][4], const uint32_t (&a)[MT][4], const uint32_t (&b)[NT][2]) {
#pragma unroll
  for (int m = 0; m < MT; ++m) {
#pragma unroll
    for (int n = 0; n < NT; ++n) {
      float(&c)[4] = acc[m][n];
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};\n"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[m][0]), "r"(a[m][1]), "r"(a[m][2]), "r"(a[m][3]), "r"(b[n][0]), "r"(b[n][1]));
    }
  }
}

namespace dialect {

template <auto Body, class... Args>
__global__ void for_each_kernel(int64_t n, Args... args) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) Body(i, args...);
}

// The dynamic shared memory that a kernel may have. Only ever raised: a smaller launch must not lower it under one that
// was captured before.
template <auto Kernel>
void allow_shared(size_t bytes, const char* name) {
  static std::atomic<size_t> allowed{0};
  if (bytes <= allowed.load(std::memory_order_relaxed)) return;
  const cudaError_t status = cudaFuncSetAttribute(reinterpret_cast<const void*>(Kernel),
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status == cudaErrorInvalidValue) fail_shared_memory(bytes, name);
  check_cuda(status, name);
  allowed.store(bytes, std::memory_order_relaxed);
}

}  // namespace dialect

template <auto Kernel, class... Args>
void launch(const char* name, Dim3 grid, int block, size_t smem, Stream& stream, Args... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const Range range(name);
  auto* const kernel = Kernel;
  if (smem > 0) dialect::allow_shared<Kernel>(smem, name);  // 48 KiB without asking are of both kinds together
  kernel<<<dim3(grid.x, grid.y, grid.z), dim3(static_cast<unsigned>(block)), smem, stream.impl().handle>>>(args...);
  check_launch(stream, name);
}

template <auto Body, class... Args>
void for_each(const char* name, int64_t n, Stream& stream, Args... args) {
  if (n <= 0) return;
  const Range range(name);
  constexpr int kBlock = 256;
  const int64_t blocks = ceil_div(n, kBlock);
  dialect::for_each_kernel<Body>
      <<<static_cast<unsigned>(blocks < INT_MAX ? blocks : INT_MAX), kBlock, 0, stream.impl().handle>>>(n, args...);
  check_launch(stream, name);
}

}  // namespace ito
