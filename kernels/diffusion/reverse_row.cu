// SPDX-License-Identifier: Apache-2.0
// One row of a sampler in one pass over the images: estimates, up to three writes, noise. The row is read from a device
// table at *row, so that a captured graph replays every row.
// Block = (image, 4096 elements), a group of elements a thread at a time (draws.cuh: four, on a CPU 256); the z of
// four elements is one philox call. Each optional part is a loop of its own over the group behind a branch that all
// threads take alike, so that what a row leaves out costs neither traffic nor arithmetic and what is left vectorises. A
// register is read once and added to every write's sum at once: three sums of a group are all that a thread holds,
// however many registers there are, and no instance a number of registers is needed. Sums are stored last, so that
// every read sees an old value. Bytes an element: x 4 read and 4 written where the state is a target, pred read (both
// halves with a learned variance), 4 a register read or written, x_network written where wanted.
#include "kernels/diffusion/reverse_row.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

// fminf(fmaxf(v, -bound), bound) bit for bit (NaN becomes -bound), as compares that vectorise.
DEVICE float clip_to(float v, float bound) {
  const float above = v > -bound ? v : -bound;
  return above < bound ? above : bound;
}

// sum += weight * source.
template <class Width>
DEVICE void add_term(float (&sum)[kGroupNumbers], float weight, const float (&source)[kGroupNumbers], Width width) {
  for (int j = 0; j < width; ++j) sum[j] = fmaf(weight, source[j], sum[j]);
}

template <class T>
KERNEL void reverse_row_kernel(float* x, T* x_network, float* registers, int64_t register_size, const T* pred,
                               bool wide, const float* gauges, const ReverseRow* rows, const int64_t* row,
                               SampleCounter counter, int64_t pixels, int c) {
  const int64_t size = pixels * c;
  const int64_t blocks = quad_blocks(size), image = blockIdx.x / blocks;
  const ReverseRow& k = rows[*row];
  const float x0_from_x = k.x0_from_x, x0_from_pred = k.x0_from_pred, clip = k.clip;
  const float eps_from_x = k.eps_from_x, eps_from_pred = k.eps_from_pred, eps_from_x0 = k.eps_from_x0;
  const float high = k.log_variance_high, low = k.log_variance_low, next_input_scale = k.next_input_scale;
  const Gauge gauge = k.gauge;  // its numbers are read where they are used: held, they would cost a block of occupancy
  const bool noisy = k.draw >= 0, drawn = noisy && !counter.given, learned = noisy && (high != 0.0f || low != 0.0f);
  const uint32_t reads = k.reads;
  const int32_t writes = k.writes;
  SampleDraws draws = sample_draws(counter, image);
  draws.step = static_cast<uint32_t>(k.draw);
  const T* answer = pred + image * size * (wide ? 2 : 1);

  for_groups(size, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    const int64_t in_image = 4 * quad, first = image * size + in_image;
    float z[kGroupNumbers], std[kGroupNumbers];
    for (int j = 0; j < width; ++j) z[j] = std[j] = 0.0f;
    if (drawn)
      for (int q = 0; 4 * q < width; ++q) {
        const Normal4 normals = quad_normals(draws, quad + q, purpose_word(Purpose::ReverseNoise));
        for (int j = 0; j < 4; ++j) z[4 * q + j] = normals.v[j];
      }
    if (noisy && !drawn) {
      const float* given = counter.given + draws.step * register_size + first;
      for (int j = 0; j < width; ++j) z[j] = given[j];
    }
    float state[kGroupNumbers], network[kGroupNumbers], d[kGroupNumbers], e[kGroupNumbers];
    for (int j = 0; j < width; ++j) state[j] = x[first + j];
    if (wide) {
      // A pixel is 2C wide: the answer, then v.
      float v[kGroupNumbers];
      for (int j = 0; j < width; ++j) {
        const uint32_t at = static_cast<uint32_t>(in_image + j);
        const int64_t from = at + static_cast<int64_t>(at / static_cast<uint32_t>(c)) * c;
        network[j] = to_float(answer[from]);
        v[j] = to_float(answer[from + c]);
      }
      if (learned)
        for (int j = 0; j < width; ++j) {
          const float f = 0.5f * (v[j] + 1.0f);
          std[j] = fast_exp(0.5f * fmaf(f, high, (1.0f - f) * low));
        }
    } else {
      for (int j = 0; j < width; ++j) network[j] = to_float(answer[in_image + j]);
    }
    for (int j = 0; j < width; ++j) {
      d[j] = fmaf(x0_from_pred, network[j], x0_from_x * state[j]);
      if (clip > 0.0f) d[j] = clip_to(d[j], clip);
    }
    if (gauge == Gauge::Quantile) {
      const float q = gauges[2 * image];
      for (int j = 0; j < width; ++j) d[j] = clip_to(d[j], q) / q;
    }
    for (int j = 0; j < width; ++j)
      e[j] = fmaf(eps_from_x0, d[j], fmaf(eps_from_pred, network[j], eps_from_x * state[j]));
    if (gauge == Gauge::Langevin) {
      const float a = gauges[2 * image], b = gauges[2 * image + 1];
      for (int j = 0; j < width; ++j) e[j] *= a, z[j] *= b;
    }
    float sum[kWrites][kGroupNumbers];
    for (int w = 0; w < kWrites; ++w) {
      if (w >= writes) break;
      const float* weight = k.weight[w];
      for (int j = 0; j < width; ++j) sum[w][j] = fmaf(weight[kX0], d[j], weight[kX] * state[j]);
      add_term(sum[w], weight[kEps], e, width);
      if (weight[kPred] != 0.0f) add_term(sum[w], weight[kPred], network, width);
    }
    for (int r = 0; reads >> r != 0; ++r) {
      if ((reads >> r & 1) == 0) continue;
      float old[kGroupNumbers];
      for (int j = 0; j < width; ++j) old[j] = registers[r * register_size + first + j];
      for (int w = 0; w < kWrites; ++w)
        if (w < writes) add_term(sum[w], k.weight[w][kRegister0 + r], old, width);
    }
    for (int w = 0; w < kWrites; ++w) {
      if (w >= writes) break;
      const float noise = k.weight[w][kNoise];
      if (noise != 0.0f) {
        if (learned)
          for (int j = 0; j < width; ++j) sum[w][j] = fmaf(noise * std[j], z[j], sum[w][j]);
        else
          add_term(sum[w], noise, z, width);
      }
      const int to = k.to[w];
      float* out = to == kState ? x : registers + to * register_size;
      for (int j = 0; j < width; ++j) out[first + j] = sum[w][j];
      if (to == kState && x_network)
        for (int j = 0; j < width; ++j) x_network[first + j] = from_float<T>(next_input_scale * sum[w][j]);
    }
  });
}

DEVICE void set_timestep_item(int64_t i, float* t, const ReverseRow* rows, const int64_t* row) {
  t[i] = rows[*row].timestep;
}

DEVICE void set_level_item(int64_t i, float* level, const ReverseRow* rows, const int64_t* row,
                           float first_input_scale) {
  const int64_t number = *row;
  const float scale = number > 0 ? rows[number - 1].next_input_scale : first_input_scale;
  level[2 * i] = scale * rows[number].alpha;
  level[2 * i + 1] = scale * rows[number].sigma;
}

template <class T>
DEVICE void scale_input_item(int64_t i, T* x_network, const float* x, float scale, const ReverseRow* rows,
                             const int64_t* row) {
  x_network[i] = from_float<T>((rows ? rows[*row].next_input_scale : scale) * x[i]);
}

DEVICE void advance_row_item(int64_t, int64_t* row, int64_t* total, int64_t* total_on_host) {
  *row += 1;
  if (total) *total_on_host = *total += 1;
}

}  // namespace

void set_timesteps(Stream& stream, float* t, const ReverseRow* rows, const int64_t* row, int n) {
  ITO_CHECK(t && rows && row, "set_timesteps: t, the table or the row is null");
  for_each<set_timestep_item>("set_timesteps", n, stream, t, rows, row);
}

void set_levels(Stream& stream, float* level, const ReverseRow* rows, const int64_t* row, float first_input_scale,
                int n) {
  ITO_CHECK(level && rows && row, "set_levels: the levels, the table or the row is null");
  for_each<set_level_item>("set_levels", n, stream, level, rows, row, first_input_scale);
}

void reverse_row(Stream& stream, float* x, DataRef x_network, float* registers, int register_count, ConstDataRef pred,
                 bool wide, const float* gauges, const ReverseRow* rows, const int64_t* row,
                 const SampleCounter& counter, int n, int pixels, int c) {
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0 && int64_t{pixels} * c < int64_t{1} << 31, "reverse_row: N ", n, ", pixels ",
            pixels, ", C ", c, ", expected positive sizes and fewer than 2^31 elements an image");
  ITO_CHECK(!x_network || x_network.type == pred.type, "reverse_row: x_network is ", name_of(x_network.type),
            " and pred ", name_of(pred.type), ", expected one type");
  ITO_CHECK(register_count >= 0 && register_count <= kRegisters && (register_count == 0 || registers),
            "reverse_row: ", register_count, " registers at ", registers, ", expected 0 to ", kRegisters,
            " and their memory");
  ITO_CHECK(!counter.step, "reverse_row: the counter counts steps, but a row says itself which draw is its own");
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    const int64_t size = int64_t{pixels} * c;
    launch<reverse_row_kernel<T>>("reverse_row", Dim3(n * quad_blocks(size)), kQuadThreads, 0, stream, x,
                                  x_network ? x_network.as<T>() : nullptr, registers, n * size, pred.as<T>(), wide,
                                  gauges, rows, row, counter, int64_t{pixels}, c);
  });
}

void scale_input(Stream& stream, DataRef x_network, const float* x, const ReverseRow* rows, const int64_t* row,
                 int64_t count) {
  ITO_CHECK(rows && row, "scale_input: the table or the row is null");
  by_type(x_network.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<scale_input_item<T>>("scale_input", count, stream, x_network.as<T>(), x, 0.0f, rows, row);
  });
}

void scale_input(Stream& stream, DataRef x_network, const float* x, float scale, int64_t count) {
  by_type(x_network.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<scale_input_item<T>>("scale_input", count, stream, x_network.as<T>(), x, scale,
                                  static_cast<const ReverseRow*>(nullptr), static_cast<const int64_t*>(nullptr));
  });
}

void advance_row(Stream& stream, int64_t* row, int64_t* total, int64_t* total_on_host) {
  for_each<advance_row_item>("advance_row", 1, stream, row, total, total_on_host);
}

}  // namespace ito
