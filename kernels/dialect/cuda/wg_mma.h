// SPDX-License-Identifier: Apache-2.0
// The wgmma instruction, m64 x n x k16 of bf16 with fp32 sums, for the widths that kernels use. Its accumulators are
// named one by one, so each width is written out: %0 and on are the accumulators, then come A's descriptor or
// registers, B's descriptor, and the two flags that say which operand lies along its rows. 1, 1, 1: add to the
// accumulators, signs as is.
#pragma once
#include "dialect.h"
#include "kernels/dialect/hopper_layout.h"

namespace ito::dialect {

#define ITO_NAMES_0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define ITO_NAMES_16 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ITO_NAMES_32 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define ITO_NAMES_48 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ITO_NAMES_64 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define ITO_NAMES_80 "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ITO_NAMES_96 "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define ITO_NAMES_112 "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ITO_FOUR(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define ITO_SIXTEEN(i) ITO_FOUR(i), ITO_FOUR((i) + 4), ITO_FOUR((i) + 8), ITO_FOUR((i) + 12)

template <int N, bool AMn, bool BMn>
struct WgMma;

template <bool AMn, bool BMn>
struct WgMma<32, AMn, BMn> {
  ITO_DEVICE_ONLY static void run(float (&d)[16], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" ITO_NAMES_0
                 "}, %16, %17, 1, 1, 1, %18, %19;\n"
                 : ITO_SIXTEEN(0)
                 : "l"(a), "l"(b), "n"(AMn), "n"(BMn)
                 : "memory");
  }
  ITO_DEVICE_ONLY static void run(float (&d)[16], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" ITO_NAMES_0
                 "}, {%16, %17, %18, %19}, %20, 1, 1, 1, %21;\n"
                 : ITO_SIXTEEN(0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(BMn)
                 : "memory");
  }
};

template <bool AMn, bool BMn>
struct WgMma<64, AMn, BMn> {
  ITO_DEVICE_ONLY static void run(float (&d)[32], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 "}, %32, %33, 1, 1, 1, %34, %35;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16)
                 : "l"(a), "l"(b), "n"(AMn), "n"(BMn)
                 : "memory");
  }
  ITO_DEVICE_ONLY static void run(float (&d)[32], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, %37;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(BMn)
                 : "memory");
  }
};

template <bool AMn, bool BMn>
struct WgMma<128, AMn, BMn> {
  ITO_DEVICE_ONLY static void run(float (&d)[64], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 ", " ITO_NAMES_32 ", " ITO_NAMES_48 "}, %64, %65, 1, 1, 1, %66, %67;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16), ITO_SIXTEEN(32), ITO_SIXTEEN(48)
                 : "l"(a), "l"(b), "n"(AMn), "n"(BMn)
                 : "memory");
  }
  ITO_DEVICE_ONLY static void run(float (&d)[64], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 ", " ITO_NAMES_32 ", " ITO_NAMES_48 "}, {%64, %65, %66, %67}, %68, 1, 1, 1, %69;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16), ITO_SIXTEEN(32), ITO_SIXTEEN(48)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(BMn)
                 : "memory");
  }
};

template <bool AMn, bool BMn>
struct WgMma<192, AMn, BMn> {
  ITO_DEVICE_ONLY static void run(float (&d)[96], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 ", " ITO_NAMES_32 ", " ITO_NAMES_48 ", " ITO_NAMES_64 ", " ITO_NAMES_80
                 "}, %96, %97, 1, 1, 1, %98, %99;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16), ITO_SIXTEEN(32), ITO_SIXTEEN(48), ITO_SIXTEEN(64), ITO_SIXTEEN(80)
                 : "l"(a), "l"(b), "n"(AMn), "n"(BMn)
                 : "memory");
  }
  ITO_DEVICE_ONLY static void run(float (&d)[96], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 ", " ITO_NAMES_32 ", " ITO_NAMES_48 ", " ITO_NAMES_64 ", " ITO_NAMES_80
                 "}, {%96, %97, %98, %99}, %100, 1, 1, 1, %101;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16), ITO_SIXTEEN(32), ITO_SIXTEEN(48), ITO_SIXTEEN(64), ITO_SIXTEEN(80)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(BMn)
                 : "memory");
  }
};

template <bool AMn, bool BMn>
struct WgMma<256, AMn, BMn> {
  ITO_DEVICE_ONLY static void run(float (&d)[128], uint64_t a, uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 ", " ITO_NAMES_32 ", " ITO_NAMES_48 ", " ITO_NAMES_64 ", " ITO_NAMES_80 ", " ITO_NAMES_96
                 ", " ITO_NAMES_112 "}, %128, %129, 1, 1, 1, %130, %131;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16), ITO_SIXTEEN(32), ITO_SIXTEEN(48), ITO_SIXTEEN(64), ITO_SIXTEEN(80),
                   ITO_SIXTEEN(96), ITO_SIXTEEN(112)
                 : "l"(a), "l"(b), "n"(AMn), "n"(BMn)
                 : "memory");
  }
  ITO_DEVICE_ONLY static void run(float (&d)[128], const uint32_t (&a)[4], uint64_t b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" ITO_NAMES_0 ", " ITO_NAMES_16
                 ", " ITO_NAMES_32 ", " ITO_NAMES_48 ", " ITO_NAMES_64 ", " ITO_NAMES_80 ", " ITO_NAMES_96
                 ", " ITO_NAMES_112 "}, {%128, %129, %130, %131}, %132, 1, 1, 1, %133;\n"
                 : ITO_SIXTEEN(0), ITO_SIXTEEN(16), ITO_SIXTEEN(32), ITO_SIXTEEN(48), ITO_SIXTEEN(64), ITO_SIXTEEN(80),
                   ITO_SIXTEEN(96), ITO_SIXTEEN(112)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(BMn)
                 : "memory");
  }
};

#undef ITO_SIXTEEN
#undef ITO_FOUR
#undef ITO_NAMES_0
#undef ITO_NAMES_16
#undef ITO_NAMES_32
#undef ITO_NAMES_48
#undef ITO_NAMES_64
#undef ITO_NAMES_80
#undef ITO_NAMES_96
#undef ITO_NAMES_112

}  // namespace ito::dialect
