// SPDX-License-Identifier: Apache-2.0
// The file of measurements between `ito measure` and `ito restore`: tensors `measurements` (N, M), in planes where a
// measurement is an image, and where they are known `truth` (N, C, H, W) and `labels`, (N) class numbers or (N, numbers
// of an image) real-valued ones; metadata with the operator, sigma_y and the image's shape. Files of other programs may
// have the first tensor alone.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/inverse/measurement_operator.h"
#include "engine/io/safetensors.h"

namespace ito {

inline constexpr double kMostSigmaY = 10;

// What a file says of itself.
struct MeasurementFacts {
  std::string op;  // its text; "": does not say
  std::optional<double> sigma_y;
  std::optional<ImageShape> image;
};

struct Measurements {
  int64_t count = 0;
  std::vector<float> y;         // (count, M) as the device has them
  std::vector<float> truth;     // (count, H, W, C), or empty
  std::vector<int64_t> labels;  // (count) class numbers, or empty
  std::vector<float> values;    // (count, value_width) real-valued labels, or empty
  int64_t value_width = 0;

  // (count, width) for a network of real-valued labels, to which class numbers are numbers. UserError, beginning with
  // `where`, if there are none or others.
  std::vector<float> label_values(const std::string& where, int64_t width) const;
};

class MeasurementFile {
 public:
  explicit MeasurementFile(const std::string& path);  // UserError unless it holds measurements

  const std::string& path() const { return file_.path(); }
  const MeasurementFacts& facts() const { return facts_; }
  int64_t count() const { return count_; }
  // Some of them. UserError where they are not the operator's, or not finite.
  Measurements read(const MeasurementOperator& op, const std::string& op_text, int64_t first, int64_t count) const;

 private:
  SafetensorsFile file_;
  MeasurementFacts facts_;
  int64_t count_ = 0;
};

void write_measurements(const std::string& path, const MeasurementOperator& op, const std::string& op_text,
                        double sigma_y, uint64_t seed, const Measurements& measurements);

}  // namespace ito
