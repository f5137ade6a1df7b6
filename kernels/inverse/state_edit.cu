// SPDX-License-Identifier: Apache-2.0
// See the header. The edit's elements are independent: bytes an element are 4 a source and 4 written, the set and the
// number of the value from cache. Noise is cut as a fill of normals is: block = (image, 4096 elements).
#include "kernels/inverse/state_edit.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

DEVICE void edit_item(int64_t i, float* out, EditSources sources, EditTable table, const int32_t* value_of,
                      const int64_t* row, int64_t size) {
  const int64_t set = table.rows[row ? *row : 0].set;
  const EditCoefficients k = table.sets[set * table.values + (value_of ? value_of[i % size] : 0)];
  float sum = 0.0f;
  if (sources.d) sum = fmaf(k.d, sources.d[i], sum);
  if (sources.x) sum = fmaf(k.x, sources.x[i], sum);
  if (sources.y) sum = fmaf(k.y, sources.y[i], sum);
  if (sources.z) sum = fmaf(k.z, sources.z[i], sum);
  out[i] = sum;
}

KERNEL void edit_noise_kernel(float* z, const EditRow* rows, const int64_t* row, SampleCounter counter, int64_t size) {
  const int64_t blocks = quad_blocks(size), image = blockIdx.x / blocks;
  const int32_t draw = rows[row ? *row : 0].draw;
  SampleDraws draws = sample_draws(counter, image);
  draws.step = static_cast<uint32_t>(draw);
  for_quads(size, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    Normal4 normals = {};
    if (draw >= 0) normals = quad_normals(draws, quad, purpose_word(Purpose::ReverseNoise));
    for (int j = 0; j < width; ++j) z[image * size + 4 * quad + j] = normals.v[j];
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void edit_state(Stream& stream, float* out, const EditSources& sources, const EditTable& table, const int32_t* value_of,
                const int64_t* row, int n, int64_t size) {
  ITO_CHECK(n >= 0 && size > 0 && out && table.sets && table.rows, "edit_state: N ", n, ", size ", size,
            ", expected positive sizes and a table");
  ITO_CHECK(value_of || table.values == 1, "edit_state: ", table.values, " values and no coordinates'");
  for_each<edit_item>("edit_state", n * size, stream, out, sources, table, value_of, row, size);
}

void draw_edit_noise(Stream& stream, float* z, const EditRow* rows, const int64_t* row, const SampleCounter& counter,
                     int n, int64_t size) {
  ITO_CHECK(n >= 0 && size > 0 && z && rows && !counter.step && !counter.given, "draw_edit_noise: N ", n, ", size ",
            size, ", expected positive sizes, rows and a counter of samples");
  launch<edit_noise_kernel>("draw_edit_noise", Dim3(n * quad_blocks(size)), kQuadThreads, 0, stream, z, rows, row,
                            counter, size);
}

}  // namespace ito
