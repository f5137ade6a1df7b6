// SPDX-License-Identifier: Apache-2.0
// See network_slope.h.
#include "engine/reverse/network_slope.h"

namespace ito {

NetworkSlope::NetworkSlope(Denoiser& denoiser, const ProbabilityFlow& flow, BufferList& buffers)
    : denoiser_(denoiser), flow_(flow) {
  buffers.add(rows_, flow_.rows.size() + 1, "rows of a probability flow");
  buffers.add(at_, denoiser.batch(), "rows of images");
}

void NetworkSlope::prepare(Stream& stream) {
  std::vector<FlowRow> rows = flow_.rows;
  rows.push_back(flow_.x0);
  rows_.upload(stream, rows.data());
}

bool NetworkSlope::wide() const {
  return denoiser_.network().wide();
}

void NetworkSlope::evaluate(Stream& stream, float* slope, const float* x, const double* times, const FlowTable& table) {
  const ImageShape& image = denoiser_.network().image;
  const FlowInputs inputs = {
      .at = at_.data(), .sample = denoiser_.sample(), .timestep = denoiser_.timestep(), .level = denoiser_.level()};
  flow_inputs(stream, inputs, x, times, table, denoiser_.batch(), image.size());
  denoiser_.evaluate(stream);
  flow_slope(stream, slope, x, denoiser_.prediction(), wide(), at_.data(), denoiser_.batch(),
             static_cast<int>(image.pixels()), image.channels);
}

void NetworkSlope::launch(Stream& stream, const OdePoint& point) {
  evaluate(stream, point.slope, point.y, point.t,
           {.rows = rows_.data(),
            .count = static_cast<int>(flow_.rows.size()),
            .first = flow_.first,
            .spacing = flow_.spacing});
}

void NetworkSlope::estimate(Stream& stream, float* x0, const float* x, const double* times) {
  evaluate(stream, x0, x, times, {.rows = rows_.data() + flow_.rows.size(), .count = 1, .first = 0, .spacing = 1});
}

}  // namespace ito
