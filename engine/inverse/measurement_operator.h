// SPDX-License-Identifier: Apache-2.0
// What is measured of an image: y = H(x) + s z. Batched and on the device; all launches can be captured, so that a
// solver's whole loop can. x is (N, H, W, C) in [-1, 1]; y is (N, M), M the numbers of measured(), (N, H, W, C) of that
// shape; files hold both in planes.
// To add an operator: one file in operators/ that defines an OperatorKind, and its name in the list of operators.cpp.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/layout.h"
#include "engine/program/buffer_list.h"
#include "kernels/seams/device.h"

namespace ito {

// The singular values of H = U S V^T, and the transform to the coordinates V^T x in which they stand. V is orthogonal
// and square. The data in these coordinates need no U: U^T y / s_i is V^T H+ y where s_i is not 0.
class Spectrum {
 public:
  virtual ~Spectrum() = default;
  virtual void plan(int /*batch*/, BufferList& /*buffers*/) {}  // its tables and scratch
  virtual void prepare(Stream&) {}                              // fills the tables, once the buffers are allocated
  // v, x (N, size). v may be x.
  virtual void to_basis(Stream& stream, float* v, const float* x, int n) = 0;    // V^T x
  virtual void from_basis(Stream& stream, float* x, const float* v, int n) = 0;  // V v
  virtual bool is_pixel_basis() const { return false; }                          // V is the identity

  const std::vector<double>& values() const { return values_; }       // the distinct ones; 0 where nothing is measured
  const std::vector<int32_t>& value_of() const { return value_of_; }  // (size): the number of each coordinate's value

 protected:
  // From one value a coordinate: those within kSameValue of each other, of the largest, are one, and those below
  // kLeastValue of it are 0.
  void set_values(const std::vector<double>& of_coordinates);

 private:
  std::vector<double> values_;
  std::vector<int32_t> value_of_;
};

inline constexpr double kLeastValue = 1e-6, kSameValue = 1e-9;

class MeasurementOperator {
 public:
  MeasurementOperator(ImageShape image, ImageShape measured) : image_(image), measured_(measured) {}
  virtual ~MeasurementOperator() = default;

  const ImageShape& image() const { return image_; }
  const ImageShape& measured() const { return measured_; }
  int64_t measurements() const { return measured_.size(); }  // M

  // Tables and scratch for batches of at most `batch` images, and their filling once the buffers are allocated.
  virtual void plan(int /*batch*/, BufferList& /*buffers*/) {}
  virtual void prepare(Stream&) {}

  virtual void apply(Stream& stream, float* y, const float* x, int n) = 0;
  // H^T r, or J_H(at)^T r of one that is not linear. at (N, size) may be null for a linear one.
  virtual void adjoint(Stream& stream, float* x, const float* r, const float* at, int n) = 0;
  // H+ y: the least x of those whose H x is nearest to y; of one that is not linear, what an inverse would be. Error
  // unless has_pseudo_inverse().
  virtual void pseudo_inverse(Stream& stream, float* x, const float* y, int n);

  virtual bool linear() const { return true; }
  virtual bool differentiable() const { return true; }       // its adjoint says something
  virtual bool has_pseudo_inverse() const { return false; }  // exact, or as near as some fixed steps come
  // Of a linear one that knows it. Whoever uses it plans and prepares it, beside the operator.
  virtual Spectrum* spectrum() { return nullptr; }

 private:
  ImageShape image_, measured_;
};

struct OperatorKind {
  const char* name;
  const char* help;  // "pool:F  means of F x F pixels"
  // args: what stands behind the name's colon, "" for none; UserError, beginning with the operator's text, for
  // arguments that make no sense or do not fit the image.
  std::unique_ptr<MeasurementOperator> (*make)(const ImageShape& image, const std::string& text,
                                               const std::string& args);
};

std::span<const OperatorKind* const> operator_kinds();
std::vector<std::string> operator_lines();  // for help

// "NAME[:ARGS]", or several joined by +, the first of which sees the image. UserError.
std::unique_ptr<MeasurementOperator> measurement_operator(const std::string& text, const ImageShape& image);

// The numbers that stand in `args`, separated by commas: at least `least`, at most `most`. UserError beginning with
// `text` that says `expected`.
std::vector<double> operator_numbers(const std::string& text, const std::string& args, size_t least, size_t most,
                                     const char* expected);
// One of them as a seed: a whole number of 0 to 2^53.
uint64_t operator_seed(const std::string& text, double number);

}  // namespace ito
