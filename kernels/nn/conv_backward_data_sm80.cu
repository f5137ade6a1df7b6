// SPDX-License-Identifier: Apache-2.0
// The data gradient of conv_sm80.h as one product: rows are pixels of dx, columns input channels, the inner dimension
// (tap, output channel). Pixel (h, w) reads dy at p = (h + pt - r) / st where that divides:
//   dx[n,h,w,c] = sum_{r,s,k} dy[n, (h + pt - r) / st, (w + pl - s) / st, k] w[k,r,s,c]
// Pixels are taken by classes (h mod st, w mod st), which have their taps in common: (r, s) = (first - st u, first' -
// st v), so that p grows with u by one and the gather is the forward's. No product is wasted; all classes are one
// launch, those with the most taps first. Filters are read as they lie, [k][c], and transposed on the way to registers.
// Bytes: dy once a column tile and tap from L2, dx once, twice where it is added to.
// With a norm before the convolution the end is conv_sm80_norm.cuh's, in kernels of its own: the others keep registers.
// Refused: filters packed anew for this direction; a launch a class.

#include "kernels/nn/conv_sm80.h"

#include "dialect.h"
#include "kernels/nn/conv_sm80_gather.cuh"
#include "kernels/nn/conv_sm80_norm.cuh"
#include "kernels/nn/conv_sm80_shapes.cuh"

namespace ito {
namespace {

// The classes of a launch: pixels (st i + a, st j + b), with (a, b) counted from (first_a, first_b).
struct ConvClasses {
  int stride, first_a, first_b;
  int pad_top, pad_left, r, s;
  int high, wide;    // of dx
  int out_h, out_w;  // of dy
  int padded_c;      // columns of the filters a tap
  int inner;         // from one output channel's filters to the next
};

// The last tap r < taps with r = at (mod stride), -1 if there is none.
DEVICE int last_tap(int at, int taps, int stride) {
  const int least = at % stride;
  return least < taps ? least + (taps - 1 - least) / stride * stride : -1;
}

template <class Tile, bool kRagged, bool kNorm>
KERNEL void conv_backward_data_sm80_kernel(ConvStore store, ConvSources dy, const bf16* filters, ConvClasses classes,
                                           ConvRows rows, int column_tiles, ConvNorm norm) {
  using Share = TileShare<Tile::kK, Tile::kN, Tile::kThreads>;
  static_assert(Share::kAdvance % 8 == 0);
  SHARED(int, pixel, Tile::kM);
  SHARED(int, image, Tile::kM);
  bf16* stages = dyn_shared<bf16>();
  const int tile = static_cast<int>(blockIdx.x) / column_tiles, stride = classes.stride;
  const int first_row = tile * Tile::kM, first_column = (static_cast<int>(blockIdx.x) - tile * column_tiles) * Tile::kN;
  const int z = static_cast<int>(blockIdx.z);
  const int a = (classes.first_a + z / stride) % stride, b = (classes.first_b + z % stride) % stride;
  // The last tap of the class, the taps it has, and where that tap of row (0, 0) lies in dy.
  const int last_r = last_tap(a + classes.pad_top, classes.r, stride);
  const int last_s = last_tap(b + classes.pad_left, classes.s, stride);
  const int taps_h = last_r < 0 ? 0 : last_r / stride + 1, taps_w = last_s < 0 ? 0 : last_s / stride + 1;
  const ConvWindow window{
      taps_h,        taps_w,       1, (a + classes.pad_top - last_r) / stride, (b + classes.pad_left - last_s) / stride,
      classes.out_h, classes.out_w};
  if constexpr (!kNorm) {
    BLOCK_LOOP(i, Tile::kM) {
      const int row = first_row + static_cast<int>(i);
      const ConvPlace at = place_of(rows, row);
      const int h = at.i * stride + a, w = at.j * stride + b;
      const bool there = row < rows.rows && h < classes.high && w < classes.wide;
      pixel[i] = there ? (at.image * classes.high + h) * classes.wide + w : -1;
      image[i] = 0;
    }
  }

  GatheredRows<Tile, kRagged ? Gather::Ragged : Gather::Whole> gathered(dy, window, rows, first_row);
  const int taps = taps_h * taps_w, steps = static_cast<int>(ceil_div(taps * dy.padded_c, Tile::kK));
  // A thread's rows of the filters' tile are (tap, output channel) like the gather's channels; eight rows are of a tap.
  const int column = first_column + 8 * Share::chunk(), in_eight = Share::first() % 8;
  const int inverse = taps_w > 0 ? (65536 + taps_w - 1) / taps_w : 0;
  TapColumn at(Share::first() - in_eight, dy.padded_c, Share::kAdvance);
  float acc[Tile::kMT][Tile::kNT][4];
  multiply<Tile, false, true>(
      acc, stages, steps,
      [&](bf16* a_tile, bf16* b_tile) {
        gathered.load(a_tile);
        if (Share::busy()) {
          for (int own = 0; own < Share::kOwn; ++own) {
            const int u = at.tap() * inverse >> 16, v = at.tap() - u * taps_w, k = at.c() + in_eight;
            const int tap = (last_r - stride * u) * classes.s + last_s - stride * v;
            const bool there = at.tap() < taps && k < dy.c && column < classes.padded_c;
            const int offset = k * classes.inner + tap * classes.padded_c + column;
            cp_async16(b_tile + Share::place(own), filters + (there ? offset : 0), there);
            at.next();
          }
        }
      },
      [](const bf16*) {});
  if constexpr (kNorm) {
    store_norm_results<Tile>(store.y, reinterpret_cast<float*>(stages), acc, norm, first_row, first_column);
  } else {
    round_results<Tile>(stages, acc, store, &pixel[0], &image[0], first_column);
    store_results<Tile>(stages, store, &pixel[0], first_column);
  }
}

// No norm has so few channels that the narrow tile is taken.
template <class Tile>
inline constexpr bool kTakesNorm = Tile::kN > 16;

// The residue that has the most taps.
int busiest(int pad, int taps, int stride) {
  int best = 0, most = -1;
  for (int a = 0; a < stride; ++a) {
    int count = 0;
    for (int r = 0; r < taps; ++r) count += (a + pad - r) % stride == 0;
    if (count > most) best = a, most = count;
  }
  return best;
}

// Pixels of a row of a norm's sums; 0: none.
int norm_run(const ConvSm80Shape& shape) {
  const ConvShape& c = shape.conv;
  int run = 0;
  if (c.stride == 1 && c.c % 8 == 0 && !shape.first_c && !shape.upsampled)
    by_data_tile(c, [&](auto tile) {
      using Tile = decltype(tile);
      if constexpr (kTakesNorm<Tile>) run = norm_row_pixels<Tile>(c.h * c.w);
    });
  return run;
}

ConvNorm norm_of(const ConvSm80DataGradient& gradient, const ConvSm80Shape& shape, int n) {
  const ConvSm80Norm& from = gradient.norm;
  if (!from.x) return {};
  const ConvShape& c = shape.conv;
  const int run = norm_run(shape);
  ITO_CHECK(run, "conv_backward_data_sm80: a norm's sums over ", c.h, "x", c.w, " pixels of ", c.c,
            " channels, which are not offered; ask conv_sm80_norm_rows first");
  ITO_CHECK(gradient.dx && gradient.write == Write::Set && !gradient.dx1 && from.chain && from.sums,
            "conv_backward_data_sm80: with a norm dx is one tensor that is set, and a chain and sums are there");
  ITO_CHECK(from.x1 ? 0 < from.first_c && from.first_c < c.c && from.first_c % 8 == 0 : !from.first_c,
            "conv_backward_data_sm80: a norm of two tensors of ", from.first_c, " and ", c.c - from.first_c,
            " channels, expected multiples of 8");
  const int rows = c.h * c.w / run;
  return {from.x, from.x1, from.chain, from.sums, c.c, from.x1 ? from.first_c : c.c, run, n * rows, rows, from.silu};
}

void backward_data(Stream& stream, const char* kernel, const ConvSm80DataGradient& gradient, const ConvNorm& norm,
                   const bf16* dy, const bf16* filters, const ConvShape& c, int first_c, int inner, int n) {
  ConvStore store;
  store.y = gradient.dx;
  store.y1 = gradient.dx1;
  store.c = c.c;
  store.first_c = first_c ? first_c : c.c;
  store.add = gradient.write == Write::Add ? gradient.dx : nullptr;
  store.add1 = gradient.write1 == Write::Add ? gradient.dx1 : nullptr;
  ConvSources from;
  from.x = dy;
  from.c = from.first_c = c.k;
  from.padded_c = padded8(c.k);
  const ConvClasses classes{c.stride,
                            busiest(c.pad_top, c.r, c.stride),
                            busiest(c.pad_left, c.s, c.stride),
                            c.pad_top,
                            c.pad_left,
                            c.r,
                            c.s,
                            c.h,
                            c.w,
                            c.out_h(),
                            c.out_w(),
                            padded8(c.c),
                            inner};
  const ConvRows rows(n, static_cast<int>(ceil_div(c.h, c.stride)), static_cast<int>(ceil_div(c.w, c.stride)));
  by_data_tile(c, [&](auto tile) {
    using Tile = decltype(tile);
    const int column_tiles = static_cast<int>(ceil_div(c.c, Tile::kN));
    const Dim3 grid(ceil_div(rows.rows, Tile::kM) * column_tiles, 1, int64_t{1} * c.stride * c.stride);
    const auto run = [&](auto ragged, auto with_norm) {
      launch<conv_backward_data_sm80_kernel<Tile, decltype(ragged)::value, decltype(with_norm)::value>>(
          kernel, grid, Tile::kThreads, Tile::kSharedBytes, stream, store, from, filters, classes, rows, column_tiles,
          norm);
    };
    const auto by_ragged = [&](auto with_norm) {
      c.k % 8 != 0 ? run(std::true_type{}, with_norm) : run(std::false_type{}, with_norm);
    };
    if constexpr (kTakesNorm<Tile>) {
      if (norm.x) return by_ragged(std::true_type{});
    }
    by_ragged(std::false_type{});
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

int conv_sm80_norm_rows(const ConvSm80Shape& shape) {
  const int run = norm_run(shape);
  return run ? shape.conv.h * shape.conv.w / run : 0;
}

void conv_sm80_backward_data(Stream& stream, const ConvSm80DataGradient& gradient, const bf16* dy, const bf16* packed,
                             const ConvSm80Shape& shape, int n) {
  check_conv_sm80("conv_backward_data_sm80", shape, n);
  backward_data(stream, "conv_backward_data_sm80", gradient, norm_of(gradient, shape, n), dy, packed, shape.conv,
                shape.first_c, inner_of(shape), n);
}

void conv_sm80_backward_shortcut(Stream& stream, const ConvSm80DataGradient& gradient, const bf16* dy,
                                 const bf16* packed, const ConvSm80Shape& shape, int n) {
  check_conv_sm80("conv_backward_shortcut_sm80", shape, n);
  ITO_CHECK(shape.shortcut_c > 0, "conv_backward_shortcut_sm80: a layer without a shortcut");
  ITO_CHECK(!gradient.norm.x, "conv_backward_shortcut_sm80: a norm, which no shortcut has in front of it");
  const ConvShape& c = shape.conv;
  const ConvShape one{c.out_h(), c.out_w(), shape.shortcut_c, c.k, 1, 1, 1, 0, 0, 0, 0};
  backward_data(stream, "conv_backward_shortcut_sm80", gradient, {}, dy, packed + filter_columns(shape), one,
                shape.shortcut_first_c, inner_of(shape), n);
}

}  // namespace ito
