// SPDX-License-Identifier: Apache-2.0
// Tokens in front of an image's own; shapes in context.h. A block walks kRowsPerBlock tokens and spreads over packs of
// their channels. Bytes an element: 2 s, + s added; the row's gradient reads the L tokens once.
#include "kernels/nn/context.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/token_rows.cuh"

namespace ito {
namespace {

// Calls f(image, token, channel) for the packs of the block's tokens, of which an image has so many.
template <int V, class F>
DEVICE void for_packs_of_tokens(int n, int tokens, int c, F&& f) {
  const int64_t rows = int64_t{1} * n * tokens, begin = int64_t{blockIdx.x} * kRowsPerBlock;
  const int64_t end = begin + kRowsPerBlock < rows ? begin + kRowsPerBlock : rows;
  for (int64_t r = begin; r < end; ++r) BLOCK_LOOP(k, c / V) f(r / tokens, static_cast<int>(r % tokens), k * V);
}

template <class T, int V>
KERNEL void add_context_kernel(T* y, const T* x, const float* row, const float* table, ContextShape shape) {
  const int all = shape.before + shape.tokens, c = shape.c;
  for_packs_of_tokens<V>(shape.n, all, c, [&](int64_t image, int token, int64_t j) {
    float out[V];
    if (token < shape.before) {
      float more[V];
      load_floats(out, row + image * c + j);
      load_floats(more, table + int64_t{1} * token * c + j);
      for_lanes<V>([&](int v) { out[v] += more[v]; });
    } else {
      load_floats(out, x + (image * shape.tokens + token - shape.before) * c + j);
    }
    store_floats(y + (image * all + token) * c + j, out);
  });
}

template <class T>
KERNEL void context_sums_kernel(float* drow, bool add, const T* dy, ContextShape shape) {
  SHARED(float, fold, kSumFold);
  const StripPlace place(blockIdx.x, shape.c);
  const T* first = dy + place.image * (shape.before + shape.tokens) * shape.c + place.first;
  sum_tokens<1>(fold, shape.before, place.width, [&](int r) {
    const T* token = first + int64_t{1} * r * shape.c;
    return [=](int j, float(&terms)[1]) { terms[0] = to_float(token[j]); };
  });
  BLOCK_LOOP(j, place.width) write_element(drow, place.image * shape.c + place.first + j, add, fold[j]);
}

// y (N, own, C) (+)= tokens skip to skip + own of x (N, all, C).
template <class T, int V>
KERNEL void take_tokens_kernel(T* y, bool add, const T* x, int skip, int own, ContextShape shape) {
  const int all = shape.before + shape.tokens, c = shape.c;
  for_packs_of_tokens<V>(shape.n, own, c, [&](int64_t image, int token, int64_t j) {
    float in[V], out[V] = {};
    load_floats(in, x + (image * all + skip + token) * c + j);
    T* to = y + (image * own + token) * c + j;
    if (add) load_floats(out, to);
    for_lanes<V>([&](int v) { out[v] += in[v]; });
    store_floats(to, out);
  });
}

template <class T, int V>
KERNEL void drop_context_backward_kernel(T* dx, bool add, const T* dy, ContextShape shape) {
  const int all = shape.before + shape.tokens, c = shape.c;
  for_packs_of_tokens<V>(shape.n, all, c, [&](int64_t image, int token, int64_t j) {
    float in[V] = {}, out[V] = {};
    T* to = dx + (image * all + token) * c + j;
    if (token >= shape.before) load_floats(in, dy + (image * shape.tokens + token - shape.before) * c + j);
    if (add) load_floats(out, to);
    for_lanes<V>([&](int v) { out[v] += in[v]; });
    store_floats(to, out);
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_context(const char* kernel, const ContextShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.before > 0 && shape.tokens > 0 && shape.c > 0, kernel, ": N ", shape.n, ", ",
            shape.before, " tokens before ", shape.tokens, ", C ", shape.c, ", expected positive sizes");
}

static Dim3 token_blocks(int n, int tokens) {
  return Dim3(ceil_div(int64_t{1} * n * tokens, kRowsPerBlock));
}

void add_context(Stream& stream, DataRef y, ConstDataRef x, const float* row, const float* table,
                 const ContextShape& shape) {
  check_context("add_context", shape);
  check_same_type("add_context", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(shape.c, {y.data, x.data, row, table}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      launch<add_context_kernel<T, V>>("add_context", token_blocks(shape.n, shape.before + shape.tokens),
                                       row_threads(shape.c / V), 0, stream, y.as<T>(), x.as<T>(), row, table, shape);
    });
  });
}

void add_context_backward(Stream& stream, float* drow, Write write, ConstDataRef dy, const ContextShape& shape) {
  check_context("add_context_backward", shape);
  by_type(dy.type, [&](auto tag) {
    using T = decltype(tag);
    launch<context_sums_kernel<T>>("context_sums", Dim3(shape.n * ceil_div(shape.c, kStripChannels)), kTokenThreads, 0,
                                   stream, drow, write == Write::Add, dy.as<T>(), shape);
  });
}

void take_tokens(Stream& stream, DataRef y, Write write, ConstDataRef x, bool front, const ContextShape& shape) {
  check_context("take_tokens", shape);
  check_same_type("take_tokens", y.type, x.type);
  const int skip = front ? 0 : shape.before, own = front ? shape.before : shape.tokens;
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(shape.c, {y.data, x.data}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      launch<take_tokens_kernel<T, V>>("take_tokens", token_blocks(shape.n, own), row_threads(shape.c / V), 0, stream,
                                       y.as<T>(), write == Write::Add, x.as<T>(), skip, own, shape);
    });
  });
}

void drop_context_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, const ContextShape& shape) {
  check_context("drop_context_backward", shape);
  check_same_type("drop_context_backward", dx.type, dy.type);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    by_token_strip<T>(shape.c, {dx.data, dy.data}, [&](auto strip) {
      constexpr int V = decltype(strip)::value;
      launch<drop_context_backward_kernel<T, V>>(
          "drop_context_backward", token_blocks(shape.n, shape.before + shape.tokens), row_threads(shape.c / V), 0,
          stream, dx.as<T>(), write == Write::Add, dy.as<T>(), shape);
    });
  });
}

}  // namespace ito
