// SPDX-License-Identifier: Apache-2.0
// Elementwise operations and the sums over rows that are their gradients.
// Elements: an operation is a function of floats (AddScaled and the like) and is mapped over its operands. On a GPU a
// thread reads kAtOnce packs of every operand before it writes one: 16 bytes an access, 8 on the narrower side of a
// conversion so that a warp's accesses lie without gaps, neighbouring threads at neighbouring packs. What is left
// behind the last whole pack goes by elements in the same launch; operands that do not begin at 16 bytes go by
// elements. On a CPU an element is an item and the compiler makes the vectors. An element's bits are the same by every
// road. Bytes an element: what is read plus what is written, once each; Write::Add reads its target too. The epilogue:
// a block's threads are teams, each as wide as a row, so that a thread keeps its channels and their bias, reads it once
// and divides once. Bytes an element: x and y, the residual, 4 of bias a channel and block. Sums: a block owns 32
// channels and walks its rows; on a GPU eight groups of 32 threads take every eighth row and are folded in order. Each
// thread folds runs of 64 rows, so that the error grows as 64 + rows / 64 roundings, not as rows. Refused: one block a
// channel (its reads would not coalesce in NHWC), and atomics (order of arrival); two neighbouring packs a thread (half
// of every sector an access).
#include "kernels/nn/pointwise.h"

#include "dialect.h"
#include "kernels/nn/fold_tree.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/rows.cuh"

namespace ito {
namespace {

constexpr int kStrip = 32;  // channels a summing block owns
constexpr int kSumThreads = 256;
constexpr int kRun = 64;  // rows a thread sums before folding into its total

// What is done to an element. The target of those that add to it is their last operand.
struct AddScaled {
  static constexpr int kOperands = 2;
  float scale;
  DEVICE float operator()(float a, float b) const { return scale * (a + b); }
};
struct Scale {
  static constexpr int kOperands = 1;
  float scale;
  DEVICE float operator()(float a) const { return scale * a; }
};
struct ScaleOnto {
  static constexpr int kOperands = 2;
  float scale;
  DEVICE float operator()(float x, float y) const { return fmaf(scale, x, y); }
};
struct Affine {
  static constexpr int kOperands = 1;
  float a, b;
  DEVICE float operator()(float x) const { return fmaf(a, x, b); }
};
struct Silu {
  static constexpr int kOperands = 1;
  DEVICE float operator()(float x) const { return x * sigmoid(x); }
};
struct SiluGradient {
  static constexpr int kOperands = 2;
  DEVICE float operator()(float dy, float x) const { return dy * silu_gradient(x); }
};
struct SiluGradientOnto {
  static constexpr int kOperands = 3;
  DEVICE float operator()(float dy, float x, float dx) const { return dx + dy * silu_gradient(x); }
};
struct Same {
  static constexpr int kOperands = 1;
  DEVICE float operator()(float x) const { return x; }
};
struct Divide {
  static constexpr int kOperands = 1;
  float divisor;
  DEVICE float operator()(float x) const { return x / divisor; }
};
struct DivideOnto {
  static constexpr int kOperands = 2;
  float divisor;
  DEVICE float operator()(float x, float y) const { return y + x / divisor; }
};

// Elements of a row that a block owns, by packs of V, or V = 1 by elements.
template <int V>
constexpr int64_t kDivideOwn = V == 1 ? 4096 : V* kMapSpan;

template <int V, class F, class T>
KERNEL void divide_rows_kernel(T* y, Operands<F, T> x, const float* t, int64_t row) {
  constexpr int64_t kOwn = kDivideOwn<V>;
  const int64_t blocks = ceil_div(row, kOwn), image = blockIdx.x / blocks, begin = blockIdx.x % blocks * kOwn;
  const int64_t width = begin + kOwn < row ? kOwn : row - begin, at = image * row + begin;
  const F f{t[image]};
  const Operands<F, T> own = x.from(at);
  if constexpr (V == 1)
    BLOCK_LOOP(i, width) map_element(i, f, y + at, own);
  else
    map_packs<V>(f, y + at, own, width / V);
}

struct EpilogueArguments {
  const float* bias;
  float scale;
};

// How a block takes rows: teams of threads as wide as a row's packs.
struct RowTeams {
  int packs, threads, teams, rows;
};

RowTeams row_teams(int packs) {
  const int teams = kMapThreads > packs ? kMapThreads / packs : 1;
  return {packs, kMapThreads, teams, kAtOnce * teams > kRowsPerBlock ? kAtOnce * teams : kRowsPerBlock};
}

template <class T, int V>
KERNEL void add_epilogue_kernel(T* y, const T* x, const T* residual, EpilogueArguments arguments, int64_t rows,
                                RowTeams cut) {
  const int teams = cut.teams, own = static_cast<int>(threadIdx.x);
  const int team = own / cut.packs;
  const int64_t begin = int64_t{blockIdx.x} * cut.rows;
  const int64_t end = begin + cut.rows < rows ? begin + cut.rows : rows;
  for (int k = team < teams ? own - team * cut.packs : cut.packs; k < cut.packs; k += cut.threads) {
    float bias[V];
    if (arguments.bias) load_floats(bias, arguments.bias + k * V);
    for (int64_t r = begin + team; r < end; r += kAtOnce * teams) {
      Packed<T, V> in[kAtOnce], more[kAtOnce];
      const auto at = [&](int a) { return ((r + a * teams) * cut.packs + k) * V; };
      for_lanes<kAtOnce>([&](int a) {
        if (r + a * teams < end) {
          in[a] = Packed<T, V>::load(x + at(a));
          if (residual) more[a] = Packed<T, V>::load(residual + at(a));
        }
      });
      for_lanes<kAtOnce>([&](int a) {
        if (r + a * teams < end) {
          float out[V];
          for_lanes<V>([&](int v) {
            float value = to_float(in[a][v]);
            if (arguments.bias) value += bias[v];
            if (residual) value += to_float(more[a][v]);
            out[v] = arguments.scale * value;
          });
          store_floats(y + at(a), out);
        }
      });
    }
  }
}

// out[group][channel] = sum of x over the group's rows; block = (group, strip of channels).
template <class T, int NT>
KERNEL void column_sum_kernel(float* out, const T* x, int64_t group_rows, int64_t rows, int c) {
  constexpr int kColumns = NT < kStrip ? NT : kStrip;
  constexpr int kTeams = NT / kColumns;  // rows read at a time
  constexpr int kOwn = kStrip / kColumns;
  SHARED(float, team_sum, kTeams* kStrip);
  const int64_t strips = ceil_div(c, kStrip);
  const int64_t group = blockIdx.x / strips;
  const int first = static_cast<int>(blockIdx.x % strips) * kStrip;
  const int width = c - first < kStrip ? c - first : kStrip;
  const int column = static_cast<int>(threadIdx.x) % kColumns, team = static_cast<int>(threadIdx.x) / kColumns;
  const int64_t last = (group + 1) * group_rows < rows ? (group + 1) * group_rows : rows;

  float total[kOwn] = {};
  for (int64_t begin = group * group_rows; begin < last; begin += kRun * kTeams) {
    const int64_t end = begin + kRun * kTeams < last ? begin + kRun * kTeams : last;
    float sum[kOwn] = {};
    for (int64_t r = begin + team; r < end; r += kTeams) {
      const T* row = x + r * c + first;
      for_own_columns<kStrip, kColumns>(column, width, [&](int k, int j) { sum[k] += to_float(row[j]); });
    }
    for (int k = 0; k < kOwn; ++k) total[k] += sum[k];
  }
  for (int k = 0; k < kOwn; ++k) team_sum[team * kStrip + column + k * kColumns] = total[k];
  block_sync();
  BLOCK_LOOP(j, width) {
    float sum = team_sum[j];
    for (int g = 1; g < kTeams; ++g) sum += team_sum[g * kStrip + j];
    out[group * c + first + j] = sum;
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void add_scaled(Stream& stream, DataRef y, ConstDataRef a, ConstDataRef b, float scale, int64_t count) {
  check_count("add_scaled", count);
  check_same_type("add_scaled", y.type, a.type);
  if (b) check_same_type("add_scaled", y.type, b.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    if (b)
      map("add_scaled", stream, count, AddScaled{scale}, y.as<T>(), a.as<T>(), b.as<T>());
    else
      map("add_scaled", stream, count, Scale{scale}, y.as<T>(), a.as<T>());
  });
}

void accumulate(Stream& stream, DataRef y, Write write, ConstDataRef x, float scale, int64_t count) {
  check_count("accumulate", count);
  check_same_type("accumulate", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    if (write == Write::Add)
      map("accumulate", stream, count, ScaleOnto{scale}, y.as<T>(), x.as<T>(), y.as<T>());
    else
      map("accumulate", stream, count, Scale{scale}, y.as<T>(), x.as<T>());
  });
}

void affine(Stream& stream, DataRef y, ConstDataRef x, float a, float b, int64_t count) {
  check_count("affine", count);
  check_same_type("affine", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    map("affine", stream, count, Affine{a, b}, y.as<T>(), x.as<T>());
  });
}

void silu_forward(Stream& stream, DataRef y, ConstDataRef x, int64_t count) {
  check_count("silu_forward", count);
  check_same_type("silu_forward", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    map("silu_forward", stream, count, Silu{}, y.as<T>(), x.as<T>());
  });
}

void silu_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, int64_t count) {
  check_count("silu_backward", count);
  check_same_type("silu_backward", dx.type, dy.type);
  check_same_type("silu_backward", dx.type, x.type);
  by_type(dx.type, [&](auto tag) {
    using T = decltype(tag);
    if (write == Write::Add)
      map("silu_backward", stream, count, SiluGradientOnto{}, dx.as<T>(), dy.as<T>(), x.as<T>(), dx.as<T>());
    else
      map("silu_backward", stream, count, SiluGradient{}, dx.as<T>(), dy.as<T>(), x.as<T>());
  });
}

void convert(Stream& stream, DataRef y, ConstDataRef x, int64_t count) {
  check_count("convert", count);
  by_type(y.type, [&](auto to) {
    by_type(x.type,
            [&](auto from) { map("convert", stream, count, Same{}, y.as<decltype(to)>(), x.as<decltype(from)>()); });
  });
}

void add_epilogue(Stream& stream, DataRef y, ConstDataRef x, const PointwiseEpilogue& epilogue, int n, int hw, int c) {
  ITO_CHECK(n >= 0 && hw > 0 && c > 0, "add_epilogue: N ", n, ", HW ", hw, ", C ", c, ", expected positive sizes");
  check_same_type("add_epilogue", y.type, x.type);
  if (epilogue.residual) check_same_type("add_epilogue", y.type, epilogue.residual.type);
  const EpilogueArguments arguments{epilogue.bias, epilogue.scale};
  const int64_t rows = int64_t{n} * hw;
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    by_pack<T>({c}, {y.data, x.data, epilogue.residual.data, epilogue.bias}, [&](auto pack) {
      constexpr int V = decltype(pack)::value;
      const RowTeams cut = row_teams(c / V);
      launch<add_epilogue_kernel<T, V>>("add_epilogue", Dim3(ceil_div(rows, cut.rows)), kMapThreads, 0, stream,
                                        y.as<T>(), x.as<T>(), epilogue.residual.as<T>(), arguments, rows, cut);
    });
  });
}

// On a CPU by elements, of which the compiler makes vectors.
template <class F, class T, class... More>
static void divide_rows(Stream& stream, int n, int64_t row, const float* t, T* y, const T* x, const More*... more) {
  const auto by = [&](auto pack) {
    constexpr int V = decltype(pack)::value;
    launch<divide_rows_kernel<V, F, T>>("divide_rows", Dim3(n * ceil_div(row, kDivideOwn<V>)), kMapThreads, 0, stream,
                                        y, Operands<F, T>{{x, more...}}, t, row);
  };
  if constexpr (WARP > 1)
    if (row % kMapPack<T, T> == 0 && aligned({y, x})) return by(std::integral_constant<int, kMapPack<T, T>>{});
  by(std::integral_constant<int, 1>{});
}

void divide_rows(Stream& stream, DataRef y, Write write, ConstDataRef x, const float* t, int n, int64_t row) {
  ITO_CHECK(n >= 0 && row > 0, "divide_rows: N ", n, ", row ", row, ", expected positive sizes");
  check_same_type("divide_rows", y.type, x.type);
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    if (write == Write::Add)
      divide_rows<DivideOnto>(stream, n, row, t, y.as<T>(), x.as<T>(), y.as<T>());
    else
      divide_rows<Divide>(stream, n, row, t, y.as<T>(), x.as<T>());
  });
}

void sum_rows(Stream& stream, float* dbias, ConstDataRef dy, float* partial, int n, int hw, int c) {
  ITO_CHECK(n > 0 && hw > 0 && c > 0, "sum_rows: N ", n, ", HW ", hw, ", C ", c, ", expected positive sizes");
  const int64_t chunk = images_per_chunk();
  by_type(dy.type, [&](auto tag) {
    using T = decltype(tag);
    constexpr int NT = block_threads(kSumThreads);
    const int64_t groups = ceil_div(n, chunk);
    launch<column_sum_kernel<T, NT>>("sum_rows", Dim3(groups * ceil_div(c, kStrip)), NT, 0, stream, partial, dy.as<T>(),
                                     chunk * hw, int64_t{n} * hw, c);
  });
  fold_tree(stream, dbias, partial, ceil_div(n, chunk), 1, c);
}

}  // namespace ito
