// SPDX-License-Identifier: Apache-2.0
// See state_edit.h. The projection splits out = k_u + (k_m - k_u) on the measured part, P = H+ H:
//   out = D_u d + X_u x + Z_u z + H+ (H ((D_m - D_u) d + (X_m - X_u) x + (Z_m - Z_u) z) + Y_m y)
#include "engine/inverse/state_edit.h"

#include <cmath>
#include <limits>

namespace ito {

std::vector<Coordinate> coordinates_of(MeasurementOperator& op, double noise) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  Spectrum* spectrum = op.spectrum();
  std::vector<Coordinate> coordinates;
  if (!spectrum) return {{0, kInfinite}, {1, noise}};
  for (const double value : spectrum->values()) coordinates.push_back({value, value > 0 ? noise / value : kInfinite});
  return coordinates;
}

int EditPlan::set(const Rule& rule) {
  for (const Coordinate& coordinate : coordinates_) {
    const EditWeights w = rule(coordinate);
    const EditCoefficients k{static_cast<float>(w.d), static_cast<float>(w.x), static_cast<float>(w.y),
                             static_cast<float>(w.z)};
    ITO_CHECK(std::isfinite(k.d) && std::isfinite(k.x) && std::isfinite(k.y) && std::isfinite(k.z),
              "a solver's coefficients for singular value ", coordinate.value, " are not finite");
    sets_.push_back(k);
  }
  return static_cast<int>(sets_.size() / coordinates_.size()) - 1;
}

StateEdit::StateEdit(MeasurementOperator& op, EditPlan plan) : op_(op), plan_(std::move(plan)) {
  for (const EditCoefficients& k : plan_.sets()) {
    asks_d_ = asks_d_ || k.d != 0;
    asks_x_ = asks_x_ || k.x != 0;
    asks_z_ = asks_z_ || k.z != 0;
  }
  if (op.spectrum()) return;
  for (size_t set = 0; set < plan_.sets().size(); set += 2) {
    const EditCoefficients &u = plan_.sets()[set], &m = plan_.sets()[set + 1];
    between_.push_back({.d = m.d - u.d, .x = m.x - u.x, .y = 0, .z = m.z - u.z});
    of_data_.push_back({.d = 1, .x = 0, .y = m.y, .z = 0});
    rest_.push_back({.d = u.d, .x = u.x, .y = 1, .z = u.z});
  }
}

void StateEdit::plan(BufferList& buffers) {
  buffers.add(rows_on_device_, plan_.rows().size(), "rows of a solver");
  if (Spectrum* spectrum = op_.spectrum()) {
    buffers.add(sets_, plan_.sets().size(), "a solver's coefficients");
    buffers.add(value_of_, spectrum->value_of().size(), "numbers of singular values");
  } else {
    buffers.add(between_on_device_, between_.size(), "a solver's coefficients");
    buffers.add(of_data_on_device_, of_data_.size(), "a solver's coefficients");
    buffers.add(rest_on_device_, rest_.size(), "a solver's coefficients");
  }
}

void StateEdit::prepare(Stream& stream) {
  rows_on_device_.upload(stream, plan_.rows().data());
  if (Spectrum* spectrum = op_.spectrum()) {
    sets_.upload(stream, plan_.sets().data());
    value_of_.upload(stream, spectrum->value_of().data());
  } else {
    between_on_device_.upload(stream, between_.data());
    of_data_on_device_.upload(stream, of_data_.data());
    rest_on_device_.upload(stream, rest_.data());
  }
}

void StateEdit::apply(Stream& stream, float* out, const float* d, const float* x, const EditData& data,
                      EditScratch& scratch, const int64_t* row, const SampleCounter& counter, int n) {
  ITO_CHECK((d || !asks_d_) && (x || !asks_x_), "a solver's edit asks for an operand that was not given");
  EditSources sources{.d = asks_d_ ? d : nullptr, .x = asks_x_ ? x : nullptr};
  if (asks_z_) {
    draw_edit_noise(stream, scratch.z.data(), rows_on_device_.data(), row, counter, n, op_.image().size());
    sources.z = scratch.z.data();
  }
  if (op_.spectrum())
    apply_spectrum(stream, out, sources, data, scratch, row, n);
  else
    apply_projection(stream, out, sources, data, scratch, row, n);
}

void StateEdit::apply_spectrum(Stream& stream, float* out, EditSources sources, const EditData& data,
                               EditScratch& scratch, const int64_t* row, int n) {
  Spectrum& spectrum = *op_.spectrum();
  sources.y = data.ybar;
  if (!spectrum.is_pixel_basis()) {
    const auto to_basis = [&](const float*& source, float* place) {
      if (source) spectrum.to_basis(stream, place, source, n);
      if (source) source = place;
    };
    to_basis(sources.d, scratch.a.data());
    to_basis(sources.x, scratch.b.data());
    to_basis(sources.z, scratch.z.data());
  }
  edit_state(stream, out, sources, table(sets_, static_cast<int>(plan_.values())), value_of_.data(), row, n,
             op_.image().size());
  if (!spectrum.is_pixel_basis()) spectrum.from_basis(stream, out, out, n);
}

void StateEdit::apply_projection(Stream& stream, float* out, EditSources sources, const EditData& data,
                                 EditScratch& scratch, const int64_t* row, int n) {
  float *part = scratch.a.data(), *measured = scratch.measured.data();
  edit_state(stream, part, sources, table(between_on_device_, 1), nullptr, row, n, op_.image().size());
  op_.apply(stream, measured, part, n);
  edit_state(stream, measured, {.d = measured, .y = data.y}, table(of_data_on_device_, 1), nullptr, row, n,
             op_.measurements());
  op_.pseudo_inverse(stream, scratch.b.data(), measured, n);
  sources.y = scratch.b.data();
  edit_state(stream, out, sources, table(rest_on_device_, 1), nullptr, row, n, op_.image().size());
}

void plan_scratch(EditScratch& scratch, const MeasurementOperator& op, int batch, BufferList& buffers) {
  const size_t numbers = static_cast<size_t>(batch * op.image().size());
  buffers.add(scratch.z, numbers, "a solver's noise");
  buffers.add(scratch.a, numbers, "a solver's coordinates");
  buffers.add(scratch.b, numbers, "a solver's coordinates");
  buffers.add(scratch.measured, static_cast<size_t>(batch * op.measurements()), "a solver's measurement");
}

}  // namespace ito
