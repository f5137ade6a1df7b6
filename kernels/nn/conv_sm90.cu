// SPDX-License-Identifier: Apache-2.0
// The convolution of conv_sm80.h with wgmma and the tensor memory accelerator. One product: rows are output pixels,
// columns output channels, the inner dimension (tap, channel) and then the shortcut's channels, 64 a step.
// A block owns 128 or 256 pixels, a box of q x p x n whose sides are powers of two, and 64, 128 or 192 channels. One
// warp brings the operands, two warpgroups multiply half of the rows each. A step's rows are one copy of the box, moved
// by the tap: the accelerator writes the zeros of the padding, steps over pixels at stride 2 and clips what is outside.
// So it does where channels end inside of a step: x is zero there, and what lies behind in the filters counts nothing.
// The residual comes by a copy while the products run, and lies where the result is put: each thread reads and writes
// the same places. A copy takes the result out and leaves alone what is outside of y.
// The gradient of x at stride 1 is the same product over dy, taps in reverse, with the filters as they lie: their rows
// then run along the columns of the result, and a step brings 64 output channels of one tap; what lies behind the tap's
// channels makes columns that nobody stores. What the gradient is added to comes as a residual does.
// Bytes: those of conv_sm80, but x comes from L2 once a column tile and tap as whole rows. Shared memory: 3 to 8 stages
// of 16 or 32 KiB of x and 8 to 24 KiB of filters, and 16 to 64 KiB of result.
// Bits: each result is summed in the order of the inner dimension; no sum sees another row.
// Blocks take tiles in turn: the copies of the next tile's operands run while a result is written. A second warp brings
// what is added to a result and takes the result out, so that no product waits for a copy out before its turn.
// Refused: im2col copies (any image size without waste; the order of their corners wants a card to check); clusters
// (speed alone, which wants a card to see).
#include "kernels/nn/conv_sm90.h"

#include <algorithm>

#include "hopper.h"

namespace ito {
namespace {

constexpr int kK = 64, kRow = 2 * kK, kConsumers = 2;
constexpr int kThreads = 128 * (1 + kConsumers);
constexpr int kSources = 4;  // x, x1, shortcut, shortcut1

// A block's rows and columns. As many stages as leave room for the result in the 227 KiB of a block.
template <int kRows, int kColumns>
struct Tile {
  static constexpr int kM = kRows, kN = kColumns;
  static constexpr int kBlocks = kM / 64 / kConsumers;  // products of 64 rows, a warpgroup
  static constexpr int kPanels = kN / 64, kPanelBytes = kM * kRow;
  static constexpr int kFilters = kM * kRow,
                       kStageBytes = kFilters + kN * kRow;  // where they begin in a stage
  static constexpr int kStages = (226 * 1024 - kPanels * kPanelBytes) / kStageBytes;
  static constexpr int kBytes = kStages * kStageBytes + kPanels * kPanelBytes;
};

struct ConvPlaces {
  int box_q, box_p, box_n;  // output pixels of a tile
  int boxes_q, boxes_p;     // tiles of an image
  int column_tiles;
  int tiles;
  int taps, s, stride, pad_top, pad_left;
  int channels[kSources];  // 0: none
  int n, k;
};

struct ConvEnd {
  const float* bias;
  const float* temb;
  int64_t temb_stride;
  float scale;
  bool residual;
};

// Where a block's pixels begin.
struct TilePlace {
  int q, p, n, column;
};

DEVICE TilePlace place_of_tile(const ConvPlaces& g, int block, int columns) {
  const int tile = block / g.column_tiles;
  const int row = tile / g.boxes_q;
  return {(tile - row * g.boxes_q) * g.box_q, row % g.boxes_p * g.box_p, row / g.boxes_p * g.box_n,
          (block - tile * g.column_tiles) * columns};
}

DEVICE int steps_of(const ConvPlaces& g) {
  const auto chunks = [&](int source) { return (g.channels[source] + kK - 1) / kK; };
  return g.taps * (chunks(0) + chunks(1)) + chunks(2) + chunks(3);
}

// A stage and the parity of its turn.
template <int kStages>
struct Turn {
  int stage = 0;
  unsigned parity = 0;
  DEVICE void next() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

// acc: rows and columns of a 64-row product as wgmma leaves them in lane l of warp w of its warpgroup: rows 16 w + l /
// 4 and 8 below, columns 8 j + 2 (l % 4) and the next.
template <class Tile>
DEVICE void finish_rows(unsigned char* result, const float (&acc)[Tile::kN / 2], const ConvPlaces& g,
                        const ConvEnd& end, const TilePlace& at, int first_row) {
  const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP % 4;
  FRAGMENT_LOOP(half, 2) {
    const int row = first_row + 16 * warp + lane / 4 + 8 * half;
    const int image = at.n + row / (g.box_q * g.box_p);
    const float* temb = end.temb && image < g.n ? end.temb + image * end.temb_stride : nullptr;
    FRAGMENT_LOOP(j, Tile::kN / 8) {
      const int inside = 8 * j + 2 * (lane % 4), column = at.column + inside;
      bf16* place =
          reinterpret_cast<bf16*>(result + j / 8 * Tile::kPanelBytes +
                                  swizzled<TileRows::Bytes128>(static_cast<uint32_t>(kRow * row + 2 * (inside % 64))));
      float v[2] = {acc[4 * j + 2 * half], acc[4 * j + 2 * half + 1]};
      Packed<bf16, 2> there{};
      if (end.residual) there = Packed<bf16, 2>::load(place);
      if (column < g.k) {
        FRAGMENT_LOOP(i, 2) {
          if (end.bias) v[i] += end.bias[column + i];
          if (temb) v[i] += temb[column + i];
          if (end.residual) v[i] += to_float(there[i]);
          v[i] *= end.scale;
        }
      }
      FRAGMENT_LOOP(i, 2) there[i] = from_float<bf16>(v[i]);
      there.store(place);
    }
  }
}

template <class Tile, bool kData>
KERNEL LAUNCH_THREADS(kThreads) void conv_sm90_kernel(TMA_PARAMETER x, TMA_PARAMETER x1, TMA_PARAMETER shortcut,
                                                      TMA_PARAMETER shortcut1, TMA_PARAMETER filters,
                                                      TMA_PARAMETER residual, TMA_PARAMETER y, ConvPlaces g,
                                                      ConvEnd end) {
  constexpr int kN = Tile::kN, kStages = Tile::kStages;
  SHARED(uint64_t, full, kStages);
  SHARED(uint64_t, empty, kStages);
  SHARED(uint64_t, result_open, 1);   // a tile's result may be written, and what is added to it is there
  SHARED(uint64_t, result_ready, 1);  // it is written
  unsigned char* const stages = tile_memory();
  unsigned char* const result = stages + kStages * Tile::kStageBytes;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      bar_init(full + s, 1);
      bar_init(empty + s, kConsumers);
    }
    bar_init(result_open + 0, 1);
    bar_init(result_ready + 0, 1);
  }
  block_sync();
  const int first_tile = static_cast<int>(blockIdx.x), stride_tiles = static_cast<int>(gridDim.x);
  const int role = static_cast<int>(threadIdx.x) / 128;

  if (role == 0) {
    regs_dec<56>();
    if (threadIdx.x < WARP && elect_one()) {
      Turn<kStages> turn;
      for (int tile = first_tile; tile < g.tiles; tile += stride_tiles) {
        const TilePlace at = place_of_tile(g, tile, kN);
        int filter = 0;  // where the source's filters begin in a row, or the tap's
        const auto bring = [&](const TmaMap& map, int channels, int q, int p) {
          for (int c = 0; c < channels; c += kK) {
            unsigned char* const stage = stages + turn.stage * Tile::kStageBytes;
            bar_wait(empty + turn.stage, turn.parity ^ 1);
            bar_expect(full + turn.stage, Tile::kStageBytes);
            tma_load(stage, map, full + turn.stage, {c, q, p, at.n});
            if constexpr (kData) {
              for (int panel = 0; panel < Tile::kPanels; ++panel)
                tma_load(stage + Tile::kFilters + panel * kK * kRow, filters, full + turn.stage,
                         {filter + at.column + 64 * panel, c});
            } else {
              tma_load(stage + Tile::kFilters, filters, full + turn.stage, {filter + c, at.column});
            }
            turn.next();
          }
          if constexpr (!kData) filter += channels;
        };
        for (int tap = 0; tap < g.taps; ++tap) {
          const int r = tap / g.s, q = at.q * g.stride + tap - r * g.s - g.pad_left,
                    p = at.p * g.stride + r - g.pad_top;
          if constexpr (kData) filter = (g.taps - 1 - tap) * g.k;
          bring(x, g.channels[0], q, p);
          if constexpr (!kData) bring(x1, g.channels[1], q, p);
        }
        if constexpr (!kData) {
          bring(shortcut, g.channels[2], at.q, at.p);
          bring(shortcut1, g.channels[3], at.q, at.p);
        }
      }
    } else if (threadIdx.x / WARP == 1 && elect_one()) {
      unsigned parity = 0;
      for (int tile = first_tile; tile < g.tiles; tile += stride_tiles, parity ^= 1) {
        const TilePlace at = place_of_tile(g, tile, kN);
        if (end.residual) {
          bar_expect(result_open + 0, Tile::kPanels * Tile::kPanelBytes);
          for (int panel = 0; panel < Tile::kPanels; ++panel)
            tma_load(result + panel * Tile::kPanelBytes, residual, result_open + 0,
                     {at.column + 64 * panel, at.q, at.p, at.n});
        } else {
          bar_arrive(result_open + 0);
        }
        bar_wait(result_ready + 0, parity);
        for (int panel = 0; panel < Tile::kPanels; ++panel)
          tma_store(y, result + panel * Tile::kPanelBytes, {at.column + 64 * panel, at.q, at.p, at.n});
        tma_store_commit();
        tma_store_wait<0>();
      }
    }
  } else {
    regs_inc<224>();
    const int group = role - 1;
    const bool speaks = threadIdx.x % 128 == 0;
    const int first_row = group * Tile::kM / kConsumers;
    const int steps = steps_of(g);
    Turn<kStages> turn;
    unsigned parity = 0;
    for (int tile = first_tile; tile < g.tiles; tile += stride_tiles, parity ^= 1) {
      const TilePlace at = place_of_tile(g, tile, kN);
      float acc[Tile::kBlocks][kN / 2];
      FRAGMENT_LOOP(m, Tile::kBlocks) {
        FRAGMENT_LOOP(i, kN / 2) acc[m][i] = 0.0f;
      }
      int before = -1;  // the stage whose products may still be under way
      for (int step = 0; step < steps; ++step) {
        unsigned char* const stage = stages + turn.stage * Tile::kStageBytes;
        const uint64_t a = k_major<TileRows::Bytes128>(stage + first_row * kRow);
        const uint64_t b =
            kData ? mn_major(stage + Tile::kFilters, kK * kRow) : k_major<TileRows::Bytes128>(stage + Tile::kFilters);
        bar_wait(full + turn.stage, turn.parity);
        FRAGMENT_LOOP(m, Tile::kBlocks) wg_fence(acc[m]);
        // 16 summed indices on is 32 bytes in each row, or 16 rows where a row is one of them.
        FRAGMENT_LOOP(k, kK / 16) {
          FRAGMENT_LOOP(m, Tile::kBlocks) {
            constexpr Major kB = kData ? Major::MN : Major::K;
            wg_mma<kN, Major::K, kB>(acc[m], a + 2 * k + m * (64 * kRow / 16), b + (kData ? kRow : 2) * k);
          }
        }
        wg_commit();
        wg_wait<1>();
        if (speaks && before >= 0) bar_arrive(empty + before);
        before = turn.stage;
        turn.next();
      }
      FRAGMENT_LOOP(m, Tile::kBlocks) wg_wait<0>(acc[m]);
      if (speaks) bar_arrive(empty + before);
      bar_wait(result_open + 0, parity);
      FRAGMENT_LOOP(m, Tile::kBlocks) finish_rows<Tile>(result, acc[m], g, end, at, first_row + 64 * m);
      proxy_fence();
      named_sync(1, 128 * kConsumers);
      if (group == 0 && speaks) bar_arrive(result_ready + 0);
    }
  }
}

// A side of a tile's box: the least power of two that holds the image's side, if there is room.
int side_of(int pixels, int room) {
  int side = 1;
  while (side < pixels && side < room) side *= 2;
  return side;
}

// The box of a tile over images of h x w, and how many tiles there are.
template <class Tile>
void cut(ConvPlaces& g, int h, int w) {
  g.box_q = side_of(w, std::min(Tile::kM, 256 / g.stride));  // a box spans 256 pixels at most
  g.box_p = side_of(h, std::min(Tile::kM / g.box_q, 256 / g.stride));
  g.box_n = Tile::kM / (g.box_q * g.box_p);
  g.boxes_q = static_cast<int>(ceil_div(w, g.box_q));
  g.boxes_p = static_cast<int>(ceil_div(h, g.box_p));
  g.column_tiles = static_cast<int>(ceil_div(g.k, Tile::kN));
  g.tiles = static_cast<int>(ceil_div(g.n, g.box_n) * g.boxes_p * g.boxes_q * g.column_tiles);
}

// A box of channels by pixels of an NHWC tensor.
TmaMap pixels_map(const bf16* base, int channels, int w, int h, int n, const ConvPlaces& g, int stride) {
  TmaBox box;
  box.base = base;
  box.rank = 4;
  const int size[] = {channels, w, h, n}, sides[] = {64, g.box_q * stride, g.box_p * stride, g.box_n};
  for (int d = 0; d < 4; ++d) {
    box.size[d] = size[d];
    box.stride[d] = d ? box.stride[d - 1] * size[d - 1] : 2;
    box.box[d] = sides[d];
    box.step[d] = d == 1 || d == 2 ? stride : 1;
  }
  box.rows = TileRows::Bytes128;
  return tma_map(box);
}

// Rows of the packed filters, 64 columns a box.
TmaMap filters_map(const bf16* packed, int inner, int k, int rows) {
  TmaBox box;
  box.base = packed;
  box.rank = 2;
  box.size[0] = inner;
  box.size[1] = k;
  box.stride[0] = 2;
  box.stride[1] = int64_t{2} * inner;
  box.box[0] = kK;
  box.box[1] = rows;
  box.rows = TileRows::Bytes128;
  return tma_map(box);
}

// By the shape alone. Bytes from L2 for a product fall with the sum of 1 / rows and 1 / columns; columns that a tile
// has too many are products for nothing.
template <class F>
void by_tile(int columns, int pixels, F&& f) {
  if (columns <= 64)
    f(Tile<128, 64>{});
  else if (columns % 192 == 0)
    f(Tile<128, 192>{});
  else if (pixels >= 256)
    f(Tile<256, 128>{});
  else
    f(Tile<128, 128>{});
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

bool conv_sm90_runs() {
  return device_has_wgmma();
}

const char* conv_sm90_refusal(const ConvSm80Shape& shape) {
  const ConvShape& c = shape.conv;
  if (c.c % 8 || c.k % 8 || shape.first_c % 8 || shape.shortcut_c % 8 || shape.shortcut_first_c % 8)
    return "its channels are not multiples of 8";
  if (c.stride != 1 && c.stride != 2) return "its stride is neither 1 nor 2";
  if (shape.upsampled) return "it reads an image of half the size";
  return nullptr;
}

void conv_sm90_forward(Stream& stream, bf16* y, const ConvSm80Input& input, const bf16* packed,
                       const ConvSm80Epilogue& epilogue, const ConvSm80Shape& shape, int n, int blocks) {
  const ConvShape& c = shape.conv;
  const char* refusal = conv_sm90_refusal(shape);
  ITO_CHECK(!refusal, "conv_forward_sm90: a convolution of ", c.c, " to ", c.k, " channels is not taken: ", refusal);
  ITO_CHECK(!epilogue.moments, "conv_forward_sm90 makes no moments");
  if (n == 0) return;
  ConvPlaces g{};
  g.taps = c.r * c.s;
  g.s = c.s;
  g.stride = c.stride;
  g.pad_top = c.pad_top;
  g.pad_left = c.pad_left;
  g.channels[0] = shape.first_c ? shape.first_c : c.c;
  g.channels[1] = c.c - g.channels[0];
  g.channels[2] = shape.shortcut_first_c ? shape.shortcut_first_c : shape.shortcut_c;
  g.channels[3] = shape.shortcut_c - g.channels[2];
  g.n = n;
  g.k = c.k;
  const ConvEnd end{epilogue.bias, epilogue.temb, epilogue.temb_stride, epilogue.scale, epilogue.residual != nullptr};
  by_tile(c.k, c.out_h() * c.out_w(), [&](auto tile) {
    using Tile = decltype(tile);
    cut<Tile>(g, c.out_h(), c.out_w());
    const TmaMap to = pixels_map(y, c.k, c.out_w(), c.out_h(), n, g, 1);
    // Of what is not there the map is another one, which nobody reads.
    const auto map = [&](const bf16* from, int channels, bool input_pixels) {
      if (!channels) return to;
      return input_pixels ? pixels_map(from, channels, c.w, c.h, n, g, c.stride)
                          : pixels_map(from, channels, c.out_w(), c.out_h(), n, g, 1);
    };
    launch<conv_sm90_kernel<Tile, false>>("conv_forward_sm90", Dim3(std::min(g.tiles, blocks)), kThreads,
                                          Tile::kBytes + kTileSlack, stream, map(input.x, g.channels[0], true),
                                          map(input.x1, g.channels[1], true), map(input.shortcut, g.channels[2], false),
                                          map(input.shortcut1, g.channels[3], false),
                                          filters_map(packed, g.taps * c.c + shape.shortcut_c, c.k, Tile::kN),
                                          map(epilogue.residual, epilogue.residual ? c.k : 0, false), to, g, end);
  });
}

const char* conv_sm90_data_refusal(const ConvSm80Shape& shape) {
  if (const char* refusal = conv_sm90_refusal(shape)) return refusal;
  if (shape.conv.stride != 1) return "its stride is not 1";
  if (shape.first_c) return "its input is two tensors";
  return nullptr;
}

void conv_sm90_backward_data(Stream& stream, bf16* dx, Write write, const bf16* dy, const bf16* packed,
                             const ConvSm80Shape& shape, int n, int blocks) {
  const ConvShape& c = shape.conv;
  const char* refusal = conv_sm90_data_refusal(shape);
  ITO_CHECK(!refusal, "conv_backward_data_sm90: a convolution of ", c.c, " to ", c.k,
            " channels is not taken: ", refusal);
  if (n == 0) return;
  ConvPlaces g{};
  g.taps = c.r * c.s;
  g.s = c.s;
  g.stride = 1;
  g.pad_top = c.r - 1 - c.pad_top;
  g.pad_left = c.s - 1 - c.pad_left;
  g.channels[0] = c.k;
  g.n = n;
  g.k = c.c;
  const ConvEnd end{nullptr, nullptr, 0, 1.0f, write == Write::Add};
  by_tile(c.c, c.h * c.w, [&](auto tile) {
    using Tile = decltype(tile);
    cut<Tile>(g, c.h, c.w);
    const TmaMap to = pixels_map(dx, c.c, c.w, c.h, n, g, 1);  // also what is added to
    launch<conv_sm90_kernel<Tile, true>>("conv_backward_data_sm90", Dim3(std::min(g.tiles, blocks)), kThreads,
                                         Tile::kBytes + kTileSlack, stream,
                                         pixels_map(dy, c.k, c.out_w(), c.out_h(), n, g, 1), to, to, to,
                                         filters_map(packed, g.taps * c.c + shape.shortcut_c, c.k, kK), to, to, g, end);
  });
}

}  // namespace ito
