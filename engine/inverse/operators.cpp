// SPDX-License-Identifier: Apache-2.0
// The list of operators, and from a user's words to one of them.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/inverse/composition.h"
#include "engine/inverse/measurement_operator.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"

namespace ito {

extern const OperatorKind kDenoiseOperator, kInpaintOperator, kPoolOperator, kBicubicOperator, kBlurGaussianOperator,
    kBlurMotionOperator, kBlurUniformOperator, kBlurOperator, kColouriseOperator, kHadamardOperator, kMriOperator,
    kRadonOperator, kPhaseOperator, kHdrOperator, kQuantiseOperator, kMatrixOperator;

namespace {

constexpr const OperatorKind* kKinds[] = {
    &kDenoiseOperator,      &kInpaintOperator,    &kPoolOperator,        &kBicubicOperator,
    &kBlurGaussianOperator, &kBlurMotionOperator, &kBlurUniformOperator, &kBlurOperator,
    &kColouriseOperator,    &kHadamardOperator,   &kMriOperator,         &kRadonOperator,
    &kPhaseOperator,        &kHdrOperator,        &kQuantiseOperator,    &kMatrixOperator};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == at)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

const OperatorKind& kind_named(const std::string& text, const std::string& name) {
  std::vector<std::string> known;
  for (const OperatorKind* kind : kKinds) {
    if (kind->name == name) return *kind;
    known.emplace_back(kind->name);
  }
  fail<UserError>("operator ", quote_name(text), ": ", quote_name(name), " is not known; use one of ",
                  list_names(known), did_you_mean(name, known));
}

}  // namespace

std::span<const OperatorKind* const> operator_kinds() {
  return kKinds;
}

std::vector<std::string> operator_lines() {
  std::vector<std::string> lines;
  for (const OperatorKind* kind : kKinds) lines.emplace_back(kind->help);
  return lines;
}

std::unique_ptr<MeasurementOperator> measurement_operator(const std::string& text, const ImageShape& image) {
  std::unique_ptr<MeasurementOperator> whole;
  ImageShape at = image;
  for (const std::string& part : split(text, '+')) {
    const size_t colon = part.find(':');
    const OperatorKind& kind = kind_named(text, part.substr(0, colon));
    std::unique_ptr<MeasurementOperator> next =
        kind.make(at, "operator " + part, colon == std::string::npos ? "" : part.substr(colon + 1));
    at = next->measured();
    whole = whole ? compose(std::move(next), std::move(whole)) : std::move(next);
  }
  return whole;
}

std::vector<double> operator_numbers(const std::string& text, const std::string& args, size_t least, size_t most,
                                     const char* expected) {
  std::vector<double> numbers;
  if (!args.empty()) {
    for (const std::string& part : split(args, ',')) {
      double value = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
      ITO_USER_CHECK(error == std::errc() && end == part.data() + part.size() && std::isfinite(value), text, ": ",
                     quote_name(part), " is no number; expected ", expected);
      numbers.push_back(value);
    }
  }
  ITO_USER_CHECK(numbers.size() >= least && numbers.size() <= most, text, ": has ", numbers.size(),
                 " numbers; expected ", expected);
  return numbers;
}

uint64_t operator_seed(const std::string& text, double number) {
  ITO_USER_CHECK(number >= 0 && number <= 0x1p53 && number == std::floor(number), text, ": seed ", number,
                 "; expected a whole number of 0 to 2^53");
  return static_cast<uint64_t>(number);
}

void MeasurementOperator::pseudo_inverse(Stream&, float*, const float*, int) {
  fail<Error>("an operator without a pseudo-inverse was asked for one");
}

void Spectrum::set_values(const std::vector<double>& of_coordinates) {
  const double largest = *std::max_element(of_coordinates.begin(), of_coordinates.end());
  std::vector<double> sorted;
  for (const double value : of_coordinates) sorted.push_back(value > kLeastValue * largest ? value : 0.0);
  std::vector<double> rounded = sorted;
  std::sort(sorted.begin(), sorted.end());
  values_.clear();
  for (const double value : sorted)
    if (values_.empty() || value - values_.back() > kSameValue * largest) values_.push_back(value);
  value_of_.clear();
  for (const double value : rounded) {
    // The last distinct value that is not above it by more than rounding.
    const auto above = std::upper_bound(values_.begin(), values_.end(), value);
    value_of_.push_back(static_cast<int32_t>(above - values_.begin()) - 1);
  }
}

}  // namespace ito
