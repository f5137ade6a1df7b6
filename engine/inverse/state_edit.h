// SPDX-License-Identifier: Apache-2.0
// Edits of the state that follow from a measurement, as a table: for every row of the loop and every distinct singular
// value of the operator, how much of the estimate, the state, the data and the noise a coordinate becomes
// (kernels/inverse/state_edit.h). The table is made in double on the host; what runs is chosen by what the operator
// offers:
//   a spectrum         each coordinate of V^T x is edited on its own;
//   a pseudo-inverse   measured and unmeasured parts alone, split by the projector H+ H, where the table asks for no
//                      more than that.
#pragma once
#include <functional>
#include <vector>

#include "engine/inverse/measurement_operator.h"
#include "engine/reverse/row_loop.h"
#include "kernels/inverse/state_edit.h"

namespace ito {

// One distinct singular value to a table: what the noise of the data is in that coordinate.
struct Coordinate {
  double value;  // s_i; 0: not measured
  double noise;  // n_i = s / s_i; infinite where it is not measured
  bool measured() const { return value > 0; }
};

// The coordinates of an operator: those of its spectrum, or one that is not measured and one that is.
std::vector<Coordinate> coordinates_of(MeasurementOperator& op, double noise);

// A set's numbers for one singular value, before they are rounded.
struct EditWeights {
  double d = 0, x = 0, y = 0, z = 0;
};

class EditPlan {
 public:
  using Rule = std::function<EditWeights(const Coordinate&)>;

  explicit EditPlan(std::vector<Coordinate> coordinates) : coordinates_(std::move(coordinates)) {}
  // A set of coefficients, for rows to share; returns its number. Error for a number that is not finite.
  int set(const Rule& rule);
  void row(int set, int draw = -1) { rows_.push_back({set, draw}); }
  void row(const Rule& rule, int draw = -1) { row(set(rule), draw); }

  const std::vector<EditRow>& rows() const { return rows_; }
  const std::vector<EditCoefficients>& sets() const { return sets_; }  // (sets, coordinates)
  size_t values() const { return coordinates_.size(); }

 private:
  std::vector<Coordinate> coordinates_;
  std::vector<EditCoefficients> sets_;
  std::vector<EditRow> rows_;
};

// Buffers that all edits of a solver share: one runs at a time.
struct EditScratch {
  DeviceBuffer<float> z, a, b;
  DeviceBuffer<float> measured;  // (N, M)
};

// What the measurements are in the coordinates.
struct EditData {
  const float* y = nullptr;     // (N, M)
  const float* ybar = nullptr;  // (N, size): V^T H+ y; H+ y where there is no spectrum
};

class StateEdit {
 public:
  // op outlives it.
  StateEdit(MeasurementOperator& op, EditPlan plan);
  int rows() const { return static_cast<int>(plan_.rows().size()); }
  void plan(BufferList& buffers);
  void prepare(Stream& stream);
  // out (N, size) of d and x (null where no set asks for them) at the row, or at the first one where row is null. out
  // may be x.
  void apply(Stream& stream, float* out, const float* d, const float* x, const EditData& data, EditScratch& scratch,
             const int64_t* row, const SampleCounter& counter, int n);

 private:
  void apply_spectrum(Stream& stream, float* out, EditSources sources, const EditData& data, EditScratch& scratch,
                      const int64_t* row, int n);
  void apply_projection(Stream& stream, float* out, EditSources sources, const EditData& data, EditScratch& scratch,
                        const int64_t* row, int n);
  EditTable table(const DeviceBuffer<EditCoefficients>& sets, int values) const {
    return {.sets = sets.data(), .values = values, .rows = rows_on_device_.data()};
  }

  MeasurementOperator& op_;
  EditPlan plan_;
  bool asks_d_ = false, asks_x_ = false, asks_z_ = false;
  // Of the projection: measured less unmeasured, the data's part, and the unmeasured rest.
  std::vector<EditCoefficients> between_, of_data_, rest_;
  DeviceBuffer<EditCoefficients> sets_, between_on_device_, of_data_on_device_, rest_on_device_;
  DeviceBuffer<EditRow> rows_on_device_;
  DeviceBuffer<int32_t> value_of_;
};

void plan_scratch(EditScratch& scratch, const MeasurementOperator& op, int batch, BufferList& buffers);

}  // namespace ito
