// SPDX-License-Identifier: Apache-2.0
// The weight gradient of conv_sm80.h as one product: rows are output channels, columns (tap, channel) and then the
// shortcut's channels, the inner dimension the pixels of a part of a chunk of images:
//   partial[part][k,r,s,c] = sum over the part's images and p, q of dy[n,p,q,k] x[n, p st - pt + r, q st - pl + s, c]
// Both operands lie with their rows along the inner dimension and are transposed on the way to registers. A thread's
// column of x, so its tap and tensor, is the same all along; only its pixel moves, by additions.
// All parts are one launch. dbias is the column sums of dy, taken from the tiles in shared memory by the blocks of the
// first columns. Partials are joined by fold_tree.
// Order of a sum: pixels of the part in order, in steps of 16; the bias's, rows of a step by groups, then the groups.
// Parts: few tiles a layer would leave processors idle, so that a chunk is cut into a power of two of parts, by shape.
// Bytes: dy once a column tile from L2, x once a row tile and tap; partials 4 an element and part, read once.
// Refused: sums over parts in place (float atomics), and one running sum over all images (no tree could cut it).

#include "kernels/nn/conv_sm80.h"

#include "dialect.h"
#include "kernels/nn/conv_sm80_shapes.cuh"
#include "kernels/nn/fold_tree.h"

namespace ito {
namespace {

struct ConvWeightShape {
  int k, taps_w, stride, pad_top, pad_left;
  int high, wide;  // of x as the filter sees it
  int out_h, out_w;
  int upsampled;             // 1: pixels of x stand for four
  int columns, tap_columns;  // all, and the taps' alone
  int images, part_images;
};

struct ConvPartials {
  float *weight, *shortcut, *bias;  // (parts, K, R, S, C), (parts, K, Cs), (parts, K); bias null: not wanted
};

// The column of x that a thread copies: eight channels of one tensor at one tap.
template <bool kRagged, class Share>
class PixelColumn {
 public:
  DEVICE PixelColumn(const ConvSources& from, const ConvWeightShape& s, int first_column, int first_image, int images)
      : out_h_(s.out_h), out_w_(s.out_w) {
    const int column = first_column + 8 * Share::chunk();
    const bool cut = column >= s.tap_columns;
    const int tap = column / from.padded_c, c = cut ? column - s.tap_columns : column - tap * from.padded_c;
    const int all = cut ? from.shortcut_c : from.c, first_c = cut ? from.shortcut_first_c : from.first_c;
    const bool second = c >= first_c && first_c < all;
    source_ = cut ? (second ? from.shortcut1 : from.shortcut) : (second ? from.x1 : from.x);
    bytes_ = 2 * (second ? all - first_c : first_c);
    count_ = column < s.columns ? all - c : 0;
    source_ += count_ > 0 ? (second ? c - first_c : c) : 0;
    // A shortcut is a 1x1 filter on a plane of y's size.
    stride_ = cut ? 1 : s.stride;
    high_ = cut ? s.out_h : s.high;
    wide_ = cut ? s.out_w : s.wide;
    shift_ = cut ? 0 : s.upsampled;
    down_ = cut ? 0 : tap / s.taps_w - s.pad_top;
    right_ = cut ? 0 : tap % s.taps_w - s.pad_left;
    image_ = first_image;
    end_ = first_image + images;
    // A step of pixels as images, lines and columns, so that each digit carries once at most.
    const int plane = s.out_h * s.out_w, first = Share::first();
    step_image_ = Share::kAdvance / plane;
    step_p_ = Share::kAdvance % plane / s.out_w;
    step_q_ = Share::kAdvance % plane % s.out_w;
    image_ += first / plane;
    p_ = first % plane / s.out_w;
    q_ = first % plane % s.out_w;
  }

  DEVICE void load(bf16* tile) {
    for (int own = 0; own < Share::kOwn; ++own) {
      const int h = p_ * stride_ + down_, w = q_ * stride_ + right_;
      const bool inside = image_ < end_ && count_ > 0 && h >= 0 && h < high_ && w >= 0 && w < wide_;
      const int pixel = (image_ * (high_ >> shift_) + (h >> shift_)) * (wide_ >> shift_) + (w >> shift_);
      const bf16* from = row_at(source_, inside ? pixel : 0, bytes_);
      if constexpr (kRagged)
        gather8(tile + Share::place(own), from, inside ? count_ : 0);
      else
        cp_async16(tile + Share::place(own), from, inside);
      next();
    }
  }

 private:
  DEVICE void next() {
    q_ += step_q_;
    const bool line = q_ >= out_w_;
    q_ -= line ? out_w_ : 0;
    p_ += step_p_ + (line ? 1 : 0);
    const bool plane = p_ >= out_h_;
    p_ -= plane ? out_h_ : 0;
    image_ += step_image_ + (plane ? 1 : 0);
  }

  const bf16* source_;
  int out_h_, out_w_, bytes_, count_, stride_, high_, wide_, shift_, down_, right_;
  int image_, end_, p_, q_, step_image_, step_p_, step_q_;
};

template <class Tile, bool kRagged>
KERNEL void conv_backward_weight_sm80_kernel(ConvPartials partial, const bf16* dy, ConvSources from,
                                             ConvWeightShape shape, int column_tiles) {
  using Rows = TileShare<Tile::kK, Tile::kM, Tile::kThreads>;
  using Columns = TileShare<Tile::kK, Tile::kN, Tile::kThreads>;
  bf16* stages = dyn_shared<bf16>();
  const int row_tile = static_cast<int>(blockIdx.x) / column_tiles;
  const int first_row = row_tile * Tile::kM,
            first_column = (static_cast<int>(blockIdx.x) - row_tile * column_tiles) * Tile::kN;
  const int64_t part = blockIdx.y;
  const int first_image = static_cast<int>(part) * shape.part_images;
  const int images = shape.images - first_image < shape.part_images ? shape.images - first_image : shape.part_images;
  const int pixels = images * shape.out_h * shape.out_w;

  PixelColumn<kRagged, Columns> gathered(from, shape, first_column, first_image, images);
  const int k0 = first_row + 8 * Rows::chunk();
  int pixel = Rows::first();
  const bf16* rows = dy + int64_t{first_image} * shape.out_h * shape.out_w * shape.k + (k0 < shape.k ? k0 : 0);

  // The bias's sums: a thread has two output channels of every kGroups-th pixel. Of 96 channels the last threads' are
  // not read.
  constexpr int kPairs = Tile::kM / 2, kGroups = Tile::kThreads / kPairs;
  const int pair = static_cast<int>(threadIdx.x % kPairs), group = static_cast<int>(threadIdx.x / kPairs);
  const bool sums = partial.bias && first_column == 0;
  float bias[2] = {0.0f, 0.0f};

  float acc[Tile::kMT][Tile::kNT][4];
  multiply<Tile, true, true>(
      acc, stages, static_cast<int>(ceil_div(pixels, Tile::kK)),
      [&](bf16* a, bf16* b) {
        if (Rows::busy()) {
          for (int own = 0; own < Rows::kOwn; ++own) {
            const bool there = pixel < pixels && k0 < shape.k;
            const bf16* row = row_at(rows, there ? pixel : 0, 2 * shape.k);
            if constexpr (kRagged)
              gather8(a + Rows::place(own), row, there ? shape.k - k0 : 0);
            else
              cp_async16(a + Rows::place(own), row, there);
            pixel += Rows::kAdvance;
          }
        }
        if (Columns::busy()) gathered.load(b);
      },
      [&](const bf16* a) {
        if (sums) {
          for (int i = group; i < Tile::kK; i += kGroups) {
            const auto two = Packed<bf16, 2>::load(a + tile_place<Tile::kM>(i, pair / 4) + pair % 4 * 2);
            bias[0] += to_float(two[0]);
            bias[1] += to_float(two[1]);
          }
        }
      });

  if (sums) {  // of the whole block
    float* of_group = reinterpret_cast<float*>(stages);
    Packed<float, 2> two;
    two[0] = bias[0];
    two[1] = bias[1];
    two.store(of_group + group * Tile::kM + 2 * pair);
    block_sync();
    BLOCK_LOOP(i, Tile::kM) {
      float sum = 0.0f;
      for (int g = 0; g < kGroups; ++g) sum += of_group[g * Tile::kM + i];
      if (first_row + i < shape.k) partial.bias[part * shape.k + first_row + i] = sum;
    }
  }

  const int l = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int row0 = first_row + warp / Tile::kAcross * Tile::kWarpM + (l >> 2);
  const int column0 = first_column + warp % Tile::kAcross * Tile::kWarpN + 2 * (l & 3);
  const int taps = shape.tap_columns / from.padded_c;
  float* weight = partial.weight + part * shape.k * taps * from.c;
  float* shortcut = partial.shortcut + part * shape.k * from.shortcut_c;
  unrolled<Tile::kNT>([&](auto n) {
    const int column = column0 + 8 * n;  // even: a pair is in one tap, or in the shortcut
    const bool cut = column >= shape.tap_columns;
    const int width = cut ? from.shortcut_c : taps * from.c;
    for (int m = 0; m < Tile::kMT; ++m) {
      for (int half = 0; half < 2; ++half) {
        const int k = row0 + 16 * m + 8 * half;
        if (k >= shape.k || column >= shape.columns) continue;
        float* to = (cut ? shortcut : weight) + int64_t{k} * width;
        if (kRagged && !cut) {
          const int tap = column / from.padded_c, c = column - tap * from.padded_c;
          for (int i = 0; i < 2; ++i)
            if (c + i < from.c) to[tap * from.c + c + i] = acc[m][n][2 * half + i];
        } else {
          Packed<float, 2> two;
          two[0] = acc[m][n][2 * half];
          two[1] = acc[m][n][2 * half + 1];
          two.store(to + column - (cut ? shape.tap_columns : 0));
        }
      }
    }
  });
}

// Images of a part: the whole chunk, or a power of two less, until a chunk has blocks enough, as long as a part has
// pixels enough to be worth a partial.
int part_images(const ConvSm80Shape& shape) {
  const ConvShape& c = shape.conv;
  constexpr int64_t kBlocks = 16, kPixels = 1024;
  int64_t blocks = 0;
  by_weight_tile(c, [&](auto tile) {
    blocks = ceil_div(c.k, decltype(tile)::kM) * ceil_div(inner_of(shape), decltype(tile)::kN);
  });
  int images = images_per_chunk();
  while (images % 2 == 0 && blocks < kBlocks && int64_t{1} * images / 2 * c.out_h() * c.out_w() >= kPixels) {
    images /= 2;
    blocks *= 2;
  }
  return images;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

size_t conv_sm80_backward_weight_workspace(const ConvSm80Shape& shape, int n) {
  const int64_t parts = ceil_div(n, part_images(shape)), k = shape.conv.k;
  return aligned(sizeof(float) * parts * shape.conv.weights()) + aligned(sizeof(float) * parts * k * shape.shortcut_c) +
         aligned(sizeof(float) * parts * k);
}

void conv_sm80_backward_weight(Stream& stream, const ConvSm80WeightGradients& gradients, const bf16* dy,
                               const ConvSm80Input& input, const ConvSm80Shape& shape, int n, void* workspace) {
  check_conv_sm80("conv_backward_weight_sm80", shape, n);
  ITO_CHECK(workspace && gradients.dweight && (!shape.shortcut_c || gradients.dshortcut),
            "conv_backward_weight_sm80: no workspace, or nowhere to put a gradient");
  const ConvShape& c = shape.conv;
  const ConvSources from = sources_of(shape, input);
  const int images = part_images(shape);
  const int64_t parts = ceil_div(n, images);
  char* at = static_cast<char*>(workspace);
  ConvPartials partial;
  partial.weight = reinterpret_cast<float*>(at);
  at += aligned(sizeof(float) * parts * c.weights());
  partial.shortcut = reinterpret_cast<float*>(at);
  at += aligned(sizeof(float) * parts * c.k * shape.shortcut_c);
  partial.bias = gradients.dbias ? reinterpret_cast<float*>(at) : nullptr;
  const ConvWeightShape s{c.k,
                          c.s,
                          c.stride,
                          c.pad_top,
                          c.pad_left,
                          c.h,
                          c.w,
                          c.out_h(),
                          c.out_w(),
                          shape.upsampled ? 1 : 0,
                          inner_of(shape),
                          filter_columns(shape),
                          n,
                          images};
  by_weight_tile(c, [&](auto tile) {
    using Tile = decltype(tile);
    const int column_tiles = static_cast<int>(ceil_div(s.columns, Tile::kN));
    const Dim3 grid(ceil_div(c.k, Tile::kM) * column_tiles, parts);
    if (c.c % 8 != 0 || c.k % 8 != 0)
      launch<conv_backward_weight_sm80_kernel<Tile, true>>("conv_backward_weight_sm80", grid, Tile::kThreads,
                                                           Tile::kSharedBytes, stream, partial, dy, from, s,
                                                           column_tiles);
    else
      launch<conv_backward_weight_sm80_kernel<Tile, false>>("conv_backward_weight_sm80", grid, Tile::kThreads,
                                                            Tile::kSharedBytes, stream, partial, dy, from, s,
                                                            column_tiles);
  });
  fold_trees(stream,
             {{gradients.dweight, partial.weight, c.weights()},
              {gradients.dshortcut, partial.shortcut, int64_t{1} * c.k * shape.shortcut_c},
              {gradients.dbias, partial.bias, gradients.dbias ? c.k : 0}},
             parts, 1);
}

}  // namespace ito
