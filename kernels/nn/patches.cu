// SPDX-License-Identifier: Apache-2.0
// Patches of an image and the addition of a table; shapes in patches.h. p C numbers of a row of pixels lie together in
// the image and in the token: a block owns one row of pixels of an image and spreads over packs of those runs.
// Bytes an element: 2 s, + s added; with a table 2 s, and 4 from cache.
#include "kernels/nn/patches.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/token_rows.cuh"

namespace ito {
namespace {

template <class T, int V, bool TO_TOKENS, bool ADD>
KERNEL void patch_kernel(T* to, const T* from, PatchShape shape) {
  const int run = shape.p * shape.c, across = shape.w / shape.p, line = shape.w * shape.c;
  const int64_t row = blockIdx.x, image = row / shape.h;
  const int y = static_cast<int>(row % shape.h);
  // Where the row's part of the first token of its line of tokens begins, and the next token's from there.
  const int64_t token = (image * (shape.h / shape.p) + y / shape.p) * across * shape.p * run + y % shape.p * run;
  const int64_t pixels = row * line;
  BLOCK_LOOP(k, line / V) {
    const int at = static_cast<int>(k) * V, j = at / run, inside = at - j * run;
    const int64_t in_token = token + int64_t{1} * j * shape.p * run + inside, in_image = pixels + at;
    T* out = to + (TO_TOKENS ? in_token : in_image);
    float value[V];
    load_floats(value, from + (TO_TOKENS ? in_image : in_token));
    if constexpr (ADD) {
      float old[V];
      load_floats(old, out);
      for_lanes<V>([&](int v) { value[v] += old[v]; });
    }
    store_floats(out, value);
  }
}

template <class T, int V>
KERNEL void add_table_kernel(T* y, const T* x, const float* table, int64_t row) {
  constexpr int64_t kOwn = V * kMapThreads * 4;
  const int64_t blocks = (row + kOwn - 1) / kOwn, image = blockIdx.x / blocks, begin = blockIdx.x % blocks * kOwn;
  const int64_t width = begin + kOwn < row ? kOwn : row - begin, at = image * row + begin;
  BLOCK_LOOP(k, width / V) {
    float in[V], add[V];
    load_floats(in, x + at + k * V);
    load_floats(add, table + begin + k * V);
    for_lanes<V>([&](int v) { in[v] += add[v]; });
    store_floats(y + at + k * V, in);
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

template <bool TO_TOKENS>
static void move_patches(const char* name, Stream& stream, DataRef to, Write write, ConstDataRef from,
                         const PatchShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.c > 0 && shape.p > 0 && shape.h > 0 && shape.w > 0 && shape.h % shape.p == 0 &&
                shape.w % shape.p == 0,
            name, ": N ", shape.n, ", images of ", shape.h, " x ", shape.w, " x ", shape.c, " in patches of ", shape.p,
            ", expected positive sizes and sides that are multiples of the patch");
  check_same_type(name, to.type, from.type);
  by_type(to.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(shape.p * shape.c, {to.data, from.data}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      const auto run = [&](auto add) {
        launch<patch_kernel<T, V, TO_TOKENS, decltype(add)::value>>(name, Dim3(int64_t{1} * shape.n * shape.h),
                                                                    row_threads(shape.w * shape.c / V), 0, stream,
                                                                    to.as<T>(), from.as<T>(), shape);
      };
      write == Write::Add ? run(std::true_type{}) : run(std::false_type{});
    });
  });
}

void patchify(Stream& stream, DataRef tokens, Write write, ConstDataRef image, const PatchShape& shape) {
  move_patches<true>("patchify", stream, tokens, write, image, shape);
}

void unpatchify(Stream& stream, DataRef image, Write write, ConstDataRef tokens, const PatchShape& shape) {
  move_patches<false>("unpatchify", stream, image, write, tokens, shape);
}

void add_table(Stream& stream, DataRef y, ConstDataRef x, const float* table, int n, int64_t row) {
  ITO_CHECK(n >= 0 && row > 0 && row <= INT32_MAX, "add_table: N ", n, ", rows of ", row, ", expected positive sizes");
  check_same_type("add_table", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(static_cast<int>(row), {y.data, x.data, table}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      launch<add_table_kernel<T, V>>("add_table", Dim3(n * ceil_div(row, V * kMapThreads * 4)), kMapThreads, 0, stream,
                                     y.as<T>(), x.as<T>(), table, row);
    });
  });
}

}  // namespace ito
