// SPDX-License-Identifier: Apache-2.0
// The transforms are sums of vectors of 16 channels in a fixed order, so every instruction set has the same bits. A
// band's tiles, their 16 components apart, stay in the second cache between transform, product and transform.
#include "kernels/seams/cpu/winograd.h"

#include <algorithm>
#include <cstring>

namespace ito::winograd {
namespace {

using onednn::Call;
using onednn::Desc;

constexpr int kLanes = 16;
using Vec [[gnu::vector_size(64), gnu::aligned(4), gnu::may_alias]] = float;

constexpr int64_t kBandBytes = 640 << 10;    // transformed tiles of a band, both sides
constexpr int64_t kMostFilters = 128 * 128;  // C x K whose transformed filters stay in the second cache
constexpr int kLeastTiles = 49;              // with fewer rows the products lose more than they save
constexpr int64_t kGap = 16;                 // floats between components, which would else meet in one cache set

Vec& at(float* p) {
  return *reinterpret_cast<Vec*>(p);
}
const Vec& at(const float* p) {
  return *reinterpret_cast<const Vec*>(p);
}

const float kZeros[kLanes] = {};

int64_t component(int64_t tiles, int channels) {
  return tiles * channels + kGap;
}

// Tile rows of at least so many bands, as equal as they can be.
int band_rows(const Geometry& g, int64_t least) {
  const int64_t row =
      int64_t{kComponents} * g.tile_columns() * (g.in_c + g.out_c) * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::max<int64_t>(kBandBytes / row, 1);
  return static_cast<int>(ceil_div(g.tile_rows(), std::max(least, ceil_div(g.tile_rows(), most))));
}

// An image alone uses two cores where that is worth the smaller products; more bands would cost every batch.
int64_t least_bands(const Geometry& g) {
  constexpr int64_t kWorthTwo = int64_t{8} << 20;  // multiply-adds of the direct sum
  return int64_t{9} * g.out_h * g.out_w * g.in_c * g.out_c >= kWorthTwo ? 2 : 1;
}

// v[component][tile][c] = B^T d B of a row of tiles.
void transform_input(float* v, int64_t distance, const float* x, const Geometry& g, int tile_row) {
  const int c = g.in_c;
  const float* row[4];
  int64_t step[4];
  for (int r = 0; r < 4; ++r) {
    const int h = 2 * tile_row - g.pad_top + r;
    const bool inside = h >= 0 && h < g.in_h;
    row[r] = inside ? x + int64_t{h} * g.in_w * c : kZeros;
    step[r] = inside ? c : 0;
  }
  for (int first = 0; first < c; first += kLanes) {
    Vec t[4][4];  // [column][row]
    const auto load = [&](int column, Vec(&to)[4]) __attribute__((always_inline)) {
      if (column < 0 || column >= g.in_w) {
        for (Vec& zero : to) zero = Vec{};
        return;
      }
      Vec d[4];
      for (int r = 0; r < 4; ++r) d[r] = at(row[r] + (step[r] ? column * step[r] + first : 0));
      to[0] = d[0] - d[2];
      to[1] = d[1] + d[2];
      to[2] = d[2] - d[1];
      to[3] = d[1] - d[3];
    };
    load(-g.pad_left, t[2]);
    load(1 - g.pad_left, t[3]);
    float* to = v + first;
    for (int j = 0; j < g.tile_columns(); ++j, to += c) {
      for (int r = 0; r < 4; ++r) t[0][r] = t[2][r], t[1][r] = t[3][r];
      load(2 * j - g.pad_left + 2, t[2]);
      load(2 * j - g.pad_left + 3, t[3]);
      for (int r = 0; r < 4; ++r) {
        float* own = to + 4 * r * distance;
        at(own) = t[0][r] - t[2][r];
        at(own + distance) = t[1][r] + t[2][r];
        at(own + 2 * distance) = t[2][r] - t[1][r];
        at(own + 3 * distance) = t[1][r] - t[3][r];
      }
    }
  }
}

// Calls store(output's offset, value, first channel) with A^T m A for a row of tiles.
template <class Store>
void transform_output(const float* m, int64_t distance, const Geometry& g, int tile_row, const Store& store) {
  const int k = g.out_c, rows = std::min(2, g.out_h - 2 * tile_row);
  for (int first = 0; first < k; first += kLanes) {
    const float* from = m + first;
    for (int j = 0; j < g.tile_columns(); ++j, from += k) {
      Vec upper[4], lower[4];
      for (int s = 0; s < 4; ++s) {
        const float* own = from + s * distance;
        const Vec one = at(own + 4 * distance), two = at(own + 8 * distance);
        upper[s] = at(own) + one + two;
        lower[s] = one - two - at(own + 12 * distance);
      }
      const bool both = 2 * j + 1 < g.out_w;
      const int64_t pixel = (int64_t{2} * tile_row * g.out_w + 2 * j) * k + first;
      store(pixel, upper[0] + upper[1] + upper[2], first);
      if (both) store(pixel + k, upper[1] - upper[2] - upper[3], first);
      if (rows < 2) continue;
      const int64_t below = pixel + int64_t{1} * g.out_w * k;
      store(below, lower[0] + lower[1] + lower[2], first);
      if (both) store(below + k, lower[1] - lower[2] - lower[3], first);
    }
  }
}

// A dy A^T of a row of tiles, zero outside the image.
void transform_gradient(float* v, int64_t distance, const float* dy, const Geometry& g, int tile_row) {
  const int k = g.out_c;
  const bool rows = 2 * tile_row + 1 < g.out_h;
  const float* row = dy + int64_t{2} * tile_row * g.out_w * k;
  for (int first = 0; first < k; first += kLanes) {
    float* to = v + first;
    for (int j = 0; j < g.tile_columns(); ++j, to += k) {
      const float* own = row + int64_t{2} * j * k + first;
      const bool both = 2 * j + 1 < g.out_w;
      const float* below = own + int64_t{1} * g.out_w * k;
      Vec t[2][4];
      for (int s = 0; s < 2; ++s) {
        const Vec a = s == 0 || both ? at(own + s * k) : at(kZeros);
        const Vec b = rows && (s == 0 || both) ? at(below + s * k) : at(kZeros);
        t[s][0] = a;
        t[s][1] = a + b;
        t[s][2] = a - b;
        t[s][3] = -b;
      }
      for (int r = 0; r < 4; ++r) {
        float* out = to + 4 * r * distance;
        at(out) = t[0][r];
        at(out + distance) = t[0][r] + t[1][r];
        at(out + 2 * distance) = t[0][r] - t[1][r];
        at(out + 3 * distance) = -t[1][r];
      }
    }
  }
}

// The filters of 16 neighbours, given as get(r, s, value): G g G^T, a component `distance` after the last.
template <class Get>
void transform_filter(float* to, int64_t distance, const Get& get) {
  Vec t[4][3];
  for (int s = 0; s < 3; ++s) {
    Vec g0{}, g1{}, g2{};
    get(0, s, g0);
    get(1, s, g1);
    get(2, s, g2);
    const Vec outer = g0 + g2;
    t[0][s] = g0;
    t[1][s] = 0.5f * (outer + g1);
    t[2][s] = 0.5f * (outer - g1);
    t[3][s] = g2;
  }
  for (int r = 0; r < 4; ++r) {
    const Vec outer = t[r][0] + t[r][2];
    float* own = to + 4 * r * distance;
    at(own) = t[r][0];
    at(own + distance) = 0.5f * (outer + t[r][1]);
    at(own + 2 * distance) = 0.5f * (outer - t[r][1]);
    at(own + 3 * distance) = t[r][2];
  }
}

// (K, 3, 3, C) from (16, K, C): G^T u G.
void transform_filter_gradient(float* dweight, const float* u, int k, int c) {
  const int64_t distance = int64_t{1} * k * c;
  for (int out = 0; out < k; ++out) {
    for (int first = 0; first < c; first += kLanes) {
      Vec t[3][4];
      for (int s = 0; s < 4; ++s) {
        const float* own = u + s * distance + int64_t{1} * out * c + first;
        const Vec one = at(own + 4 * distance), two = at(own + 8 * distance), mean = 0.5f * (one + two);
        t[0][s] = at(own) + mean;
        t[1][s] = 0.5f * (one - two);
        t[2][s] = mean + at(own + 12 * distance);
      }
      float* to = dweight + int64_t{9} * out * c + first;
      for (int r = 0; r < 3; ++r, to += 3 * c) {
        const Vec mean = 0.5f * (t[r][1] + t[r][2]);
        at(to) = t[r][0] + mean;
        at(to + c) = 0.5f * (t[r][1] - t[r][2]);
        at(to + 2 * c) = mean + t[r][3];
      }
    }
  }
}

// 16 products (m, k) (k, n), their components apart; a: (m, k), or (k, m) where it is transposed.
Call plan_products(int64_t m, int64_t n, int64_t k, bool transposed, int64_t gap_b, int64_t gap_c, bool add) {
  const auto f32 = dnnl::memory::data_type::f32;
  const Desc a({kComponents, m, k}, f32,
               transposed ? onednn::Dims{m * k + kGap, 1, m} : onednn::Dims{m * k + kGap, k, 1});
  const Desc b({kComponents, k, n}, f32, onednn::Dims{k * n + gap_b, n, 1});
  const Desc c({kComponents, m, n}, f32, onednn::Dims{m * n + gap_c, n, 1});
  dnnl::primitive_attr attr = onednn::attributes();
  if (add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  const onednn::OneThread one;
  const dnnl::matmul::primitive_desc pd({a, b, c}, attr, onednn::engine());
  return {pd, dnnl::matmul(pd), {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}}};
}

float* scratch(int64_t floats) {
  return static_cast<float*>(onednn::thread_scratch(onednn::Scratch::Winograd, sizeof(float) * floats));
}

bool worthwhile(const Geometry& g) {
  const int64_t tiles = int64_t{1} * g.tile_rows() * g.tile_columns();
  return tiles >= kLeastTiles && 4 * tiles * 8 <= int64_t{9} * g.out_h * g.out_w;  // an eighth of the tiles' area lost
}

}  // namespace

Geometry forward_geometry(const ConvShape& s) {
  return {s.h, s.w, s.c, s.out_h(), s.out_w(), s.k, s.pad_top, s.pad_left};
}

Geometry data_geometry(const ConvShape& s) {
  return {s.out_h(), s.out_w(), s.k, s.h, s.w, s.c, s.r - 1 - s.pad_top, s.s - 1 - s.pad_left};
}

bool takes(const ConvShape& s, DType type) {
  const auto inside = [](int pad) { return pad >= 0 && pad <= 2; };
  return type == DType::F32 && s.r == 3 && s.s == 3 && s.stride == 1 && s.c % kLanes == 0 && s.k % kLanes == 0 &&
         s.c >= 2 * kLanes && s.k >= 2 * kLanes && int64_t{1} * s.c * s.k <= kMostFilters && inside(s.pad_top) &&
         inside(s.pad_left) && inside(s.pad_bottom) && inside(s.pad_right) && worthwhile(forward_geometry(s)) &&
         worthwhile(data_geometry(s));
}

ImageConv::ImageConv(const Geometry& geometry, bool flipped)
    : g_(geometry), flipped_(flipped), band_rows_(band_rows(geometry, least_bands(geometry))) {
  for (const int rows : {band_rows_, g_.tile_rows() - (bands() - 1) * band_rows_})
    product_.push_back(plan_products(int64_t{1} * rows * g_.tile_columns(), g_.out_c, g_.in_c, false, 0, kGap, false));
}

void ImageConv::bind(void* packed) {
  packed_ = static_cast<float*>(packed);
  for (Call& call : product_) call.fix(1, packed);
}

void ImageConv::pack(const float* weight) const {
  const int in = g_.in_c, out = g_.out_c;
  const int64_t distance = int64_t{1} * in * out;
  onednn::parallel_items(in, [&](int64_t channel, int) {
    for (int first = 0; first < out; first += kLanes) {
      transform_filter(packed_ + channel * out + first, distance, [&](int r, int s, Vec& g) {
        if (flipped_) {  // masters (in, 3, 3, out)
          g = at(weight + ((channel * 3 + 2 - r) * 3 + 2 - s) * out + first);
        } else {
          for (int lane = 0; lane < kLanes; ++lane) g[lane] = weight[(((first + lane) * 3 + r) * 3 + s) * in + channel];
        }
      });
    }
  });
}

void ImageConv::run(float* out, const float* in, const Epilogue& e, int n) {
  for (Call& call : product_) call.prepare(device_threads());
  const int columns = g_.tile_columns(), rows = g_.tile_rows();
  const int64_t bands = this->bands();
  const int64_t in_image = int64_t{1} * g_.in_h * g_.in_w * g_.in_c,
                out_image = int64_t{1} * g_.out_h * g_.out_w * g_.out_c;
  onednn::parallel_items(n * bands, [&](int64_t item, int worker) {
    const int64_t image = item / bands;
    const int first = static_cast<int>(item % bands) * band_rows_, last = std::min(first + band_rows_, rows);
    const int64_t tiles = int64_t{1} * (last - first) * columns;
    const int64_t in_distance = component(tiles, g_.in_c), out_distance = component(tiles, g_.out_c);
    float* v = scratch(kComponents * (in_distance + out_distance));
    float* m = v + kComponents * in_distance;
    for (int row = first; row < last; ++row)
      transform_input(v + int64_t{1} * (row - first) * columns * g_.in_c, in_distance, in + image * in_image, g_, row);
    product_[last - first == band_rows_ ? 0 : 1].run(worker, {v, nullptr, m});
    float* to = out + image * out_image;
    const float* residual = e.residual ? e.residual + image * out_image : nullptr;
    const auto each = [&](const auto& store) {
      for (int row = first; row < last; ++row)
        transform_output(m + int64_t{1} * (row - first) * columns * g_.out_c, out_distance, g_, row, store);
    };
    const auto bias = [&](int k) -> const Vec& { return at(e.bias ? e.bias + k : kZeros); };
    if (e.add)
      each([&](int64_t i, const Vec& y, int) { at(to + i) += y; });
    else if (residual)
      each([&](int64_t i, const Vec& y, int k) { at(to + i) = e.scale * (y + bias(k) + at(residual + i)); });
    else if (e.scale != 1.0f)
      each([&](int64_t i, const Vec& y, int k) { at(to + i) = e.scale * (y + bias(k)); });
    else
      each([&](int64_t i, const Vec& y, int k) { at(to + i) = y + bias(k); });
  });
}

std::string ImageConv::name() const {
  return "winograd:" + product_.front().name();
}

WeightGradient::WeightGradient(const ConvShape& shape) : g_(forward_geometry(shape)), band_rows_(band_rows(g_, 1)) {
  const int bands = static_cast<int>(ceil_div(g_.tile_rows(), band_rows_));
  const auto plan = [&](int rows, bool add) {
    return plan_products(g_.out_c, g_.in_c, int64_t{1} * rows * g_.tile_columns(), true, kGap, 0, add);
  };
  const int last = g_.tile_rows() - (bands - 1) * band_rows_;
  set_ = plan(band_rows_, false);
  add_ = plan(band_rows_, true);
  add_last_ = plan(last, true);
}

void WeightGradient::prepare(int workers) {
  for (Call* call : {&set_, &add_, &add_last_}) call->prepare(workers);
}

void WeightGradient::run(int worker, float* dweight, float* dbias, const float* x, const float* dy, int images) {
  const int columns = g_.tile_columns(), rows = g_.tile_rows(), c = g_.in_c, k = g_.out_c;
  const int64_t most = int64_t{1} * band_rows_ * columns;
  float* u = scratch(kComponents * (int64_t{1} * c * k + component(most, c) + component(most, k)));
  float* v = u + kComponents * int64_t{1} * c * k;
  float* g = v + kComponents * component(most, c);
  std::fill_n(dbias, k, 0.0f);
  for (int image = 0; image < images; ++image) {
    const float* x_image = x + int64_t{1} * image * g_.in_h * g_.in_w * c;
    const float* dy_image = dy + int64_t{1} * image * g_.out_h * g_.out_w * k;
    for (int first = 0; first < rows; first += band_rows_) {
      const int last = std::min(first + band_rows_, rows);
      const int64_t tiles = int64_t{1} * (last - first) * columns;
      for (int row = first; row < last; ++row) {
        const int64_t tile = int64_t{1} * (row - first) * columns;
        transform_input(v + tile * c, component(tiles, c), x_image, g_, row);
        transform_gradient(g + tile * k, component(tiles, k), dy_image, g_, row);
      }
      Call& call = image == 0 && first == 0 ? set_ : last - first == band_rows_ ? add_ : add_last_;
      call.run(worker, {g, v, u});
      // Component 5 is a tile's sum.
      const float* sums = g + 5 * component(tiles, k);
      for (int channel = 0; channel < k; channel += kLanes) {
        Vec sum{};
        for (int64_t tile = 0; tile < tiles; ++tile) sum += at(sums + tile * k + channel);
        at(dbias + channel) += sum;
      }
    }
  }
  transform_filter_gradient(dweight, u, k, c);
}

std::string WeightGradient::name() const {
  return "winograd:" + set_.name();
}

}  // namespace ito::winograd
