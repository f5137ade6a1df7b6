// SPDX-License-Identifier: Apache-2.0
// See predictor.h. The last batch is padded with its last row, since a program has one batch size.
#include "engine/reverse/predictor.h"

#include <algorithm>

#include "engine/program/denoiser.h"
#include "engine/program/memory_check.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

// Rows [first, first + n) of `values`, padded with the last row to `batch` rows.
std::vector<float> padded_rows(const std::vector<float>& values, int64_t row, int64_t first, int64_t n, int64_t batch) {
  std::vector<float> out(batch * row);
  for (int64_t i = 0; i < batch; ++i) {
    const int64_t source = first + std::min(i, n - 1);
    std::copy_n(values.begin() + source * row, row, out.begin() + i * row);
  }
  return out;
}

}  // namespace

std::vector<float> predict(const Network& network, const float* weights, DType compute, int batch,
                           const std::vector<float>& sample, const std::vector<float>& timestep,
                           const std::vector<float>& labels, const std::vector<float>& level, size_t memory_limit) {
  const int64_t count = static_cast<int64_t>(timestep.size()), row = network.image.size();
  ITO_CHECK(static_cast<int64_t>(sample.size()) == count * row, "predict: ", sample.size(), " numbers for ", count,
            " samples of ", row);
  ITO_CHECK(level.size() == (network.asks_level ? kLevelWidth * timestep.size() : 0), "predict: ", level.size(),
            " numbers of levels for ", count, " samples of a network that asks for ", network.asks_level ? "" : "no ",
            "level");
  batch = static_cast<int>(std::min<int64_t>(batch, count));
  Stream stream;
  Denoiser denoiser(network, batch, compute);
  const int64_t out_row = network.image.pixels() * network.out_channels;
  check_memory("predicting",
               {{"network", denoiser.planned_bytes() + sizeof(float) * batch * std::max(row, out_row)},
                {"images", 2 * sizeof(float) * count * out_row}},
               memory_limit, "lower the batch, or split the input");
  denoiser.bind(weights);
  denoiser.pack(stream);
  std::vector<float> out(count * out_row), part(batch * out_row);
  DeviceBuffer<float> staging(static_cast<size_t>(batch) * std::max(row, out_row), "staging");
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t n = std::min<int64_t>(batch, count - first);
    const std::vector<float> x = padded_rows(sample, row, first, n, batch);
    copy_to_device(stream, staging.data(), x.data(), x.size() * sizeof(float));
    convert(stream, denoiser.sample(), staging.data(), static_cast<int64_t>(x.size()));
    const std::vector<float> t = padded_rows(timestep, 1, first, n, batch);
    copy_to_device(stream, denoiser.timestep(), t.data(), t.size() * sizeof(float));
    if (network.asks_level) {
      const std::vector<float> levels = padded_rows(level, kLevelWidth, first, n, batch);
      copy_to_device(stream, denoiser.level(), levels.data(), levels.size() * sizeof(float));
    }
    if (network.labels == LabelKind::Index) {
      const std::vector<float> classes = padded_rows(labels, 1, first, n, batch);
      const std::vector<int32_t> index(classes.begin(), classes.end());
      copy_to_device(stream, denoiser.labels().as<int32_t>(), index.data(), index.size() * sizeof(int32_t));
    } else if (network.labels == LabelKind::Value) {
      const std::vector<float> rows = padded_rows(labels, network.label_width, first, n, batch);
      copy_to_device(stream, denoiser.labels().as<float>(), rows.data(), rows.size() * sizeof(float));
    }
    denoiser.expect_times(t);
    denoiser.evaluate(stream);
    convert(stream, staging.data(), denoiser.prediction(), static_cast<int64_t>(part.size()));
    copy_to_host(stream, part.data(), staging.data(), part.size() * sizeof(float));
    std::copy_n(part.begin(), n * out_row, out.begin() + first * out_row);
  }
  return out;
}

}  // namespace ito
