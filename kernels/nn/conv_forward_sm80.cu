// SPDX-License-Identifier: Apache-2.0
// The forward convolution of conv_sm80.h as one product: rows are output pixels, columns output channels, the inner
// dimension (tap, channel) and then the shortcut's channels.
// A block owns a tile of pixels and channels, which may hold pixels of several images: no sum sees another row. Blocks
// of the same pixels are neighbours, so that their gathers meet in L2. The epilogue is in fp32; y is rounded once.
// Bytes: x once from memory, and from L2 once a column tile and tap; the filters once a row tile from L2; y once, a
// residual once. Filters are padded to 8 channels a tap, no tap to the step of a tile: tap and channel are one index.
// Refused: a matrix of gathered rows in memory (9 times x); an epilogue of its own launch (reads and writes y again).

#include "kernels/nn/conv_sm80.h"

#include "dialect.h"
#include "kernels/nn/conv_sm80_gather.cuh"
#include "kernels/nn/conv_sm80_shapes.cuh"

namespace ito {
namespace {

template <class Tile, Gather kGather>
KERNEL void conv_forward_sm80_kernel(ConvStore store, ConvSources from, const bf16* filters, int inner,
                                     ConvWindow window, ConvRows rows, int column_tiles, float* moments,
                                     int moment_run) {
  using Share = TileShare<Tile::kN, Tile::kK, Tile::kThreads>;
  SHARED(int, pixel, Tile::kM);
  SHARED(int, image, Tile::kM);
  bf16* stages = dyn_shared<bf16>();
  const int tile = static_cast<int>(blockIdx.x) / column_tiles;
  const int first_row = tile * Tile::kM, first_column = (static_cast<int>(blockIdx.x) - tile * column_tiles) * Tile::kN;
  BLOCK_LOOP(i, Tile::kM) {
    const int row = first_row + static_cast<int>(i);
    pixel[i] = row < rows.rows ? row : -1;
    image[i] = place_of(rows, row < rows.rows ? row : rows.rows - 1).image;
  }

  GatheredRows<Tile, kGather> gathered(from, window, rows, first_row);
  int column = 8 * Share::chunk();  // of the filters
  const int filter = (first_column + Share::first()) * inner;
  float acc[Tile::kMT][Tile::kNT][4];
  multiply<Tile, false, false>(
      acc, stages, static_cast<int>(ceil_div(inner, Tile::kK)),
      [&](bf16* a, bf16* b) {
        gathered.load(a);
        if (Share::busy()) {
          for (int own = 0; own < Share::kOwn; ++own) {
            const int k = own * Share::kPass;
            const bool there = first_column + Share::first() + k < store.c && column < inner;
            cp_async16(b + Share::place(own), filters + (there ? filter + k * inner + column : 0), there);
          }
        }
        column += Tile::kK;
      },
      [](const bf16*) {});
  round_results<Tile>(stages, acc, store, &pixel[0], &image[0], first_column);
  if (moments)
    store_moments<Tile>(moments, stages, moment_run, first_row / moment_run, rows.rows / moment_run, first_column,
                        store.c);
  store_results<Tile>(stages, store, &pixel[0], first_column);
}

// Pixels of a row of moments: tiles and images begin together, so that an image is cut alike at any place. 0: none.
int moment_run(const ConvShape& c) {
  const int pixels = c.out_h() * c.out_w();
  int run = 0;
  by_forward_tile(c, [&](auto tile) {
    constexpr int kM = decltype(tile)::kM;
    if (pixels % kM == 0)
      run = kM;
    else if (kM % pixels == 0 && pixels % kMomentStrip == 0)
      run = pixels;
  });
  return run;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

int conv_sm80_moment_rows(const ConvSm80Shape& shape) {
  const int run = moment_run(shape.conv);
  return run ? shape.conv.out_h() * shape.conv.out_w() / run : 0;
}

void conv_sm80_forward(Stream& stream, bf16* y, const ConvSm80Input& input, const bf16* packed,
                       const ConvSm80Epilogue& epilogue, const ConvSm80Shape& shape, int n) {
  check_conv_sm80("conv_forward_sm80", shape, n);
  const ConvShape& c = shape.conv;
  const int moment_pixels = moment_run(c);
  ITO_CHECK(!epilogue.moments || moment_pixels, "conv_forward_sm80: moments of ", c.out_h(), "x", c.out_w(),
            " pixels, which tiles do not divide; ask conv_sm80_moment_rows first");
  const ConvStore store{y,
                        nullptr,
                        c.k,
                        c.k,
                        epilogue.residual,
                        nullptr,
                        epilogue.bias,
                        epilogue.temb,
                        epilogue.temb_stride,
                        epilogue.scale};
  const ConvSources from = sources_of(shape, input);
  const ConvWindow window{c.r, c.s, c.stride, -c.pad_top, -c.pad_left, c.h, c.w};
  const ConvRows rows(n, c.out_h(), c.out_w());
  const int inner = inner_of(shape);
  by_forward_tile(c, [&](auto tile) {
    using Tile = decltype(tile);
    const int column_tiles = static_cast<int>(ceil_div(c.k, Tile::kN));
    const Dim3 grid(ceil_div(rows.rows, Tile::kM) * column_tiles);
    const auto run = [&](auto kind) {
      launch<conv_forward_sm80_kernel<Tile, decltype(kind)::value>>(
          "conv_forward_sm80", grid, Tile::kThreads, Tile::kSharedBytes, stream, store, from, packed, inner, window,
          rows, column_tiles, epilogue.moments, moment_pixels);
    };
    if (c.c % 8 != 0)
      run(std::integral_constant<Gather, Gather::Ragged>{});
    else if (shape.upsampled)
      run(std::integral_constant<Gather, Gather::Upsampled>{});
    else
      run(std::integral_constant<Gather, Gather::Whole>{});
  });
}

}  // namespace ito
