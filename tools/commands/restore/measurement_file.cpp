// SPDX-License-Identifier: Apache-2.0
// See measurement_file.h.
#include "tools/commands/restore/measurement_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kTensor = "measurements", *kTruth = "truth", *kLabels = "labels";
constexpr const char *kOperator = "operator", *kSigmaY = "sigma_y", *kImage = "image", *kSeed = "seed";

// The shortest text that is read as the same number.
std::string exact_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

template <class T>
bool read_number(const std::string& text, size_t& at, T& value) {
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  at = static_cast<size_t>(end - text.data());
  return error == std::errc();
}

double sigma_y_of(const std::string& path, const std::string& text) {
  double value = 0;
  size_t at = 0;
  ITO_USER_CHECK(read_number(text, at, value) && at == text.size() && value >= 0 && value <= kMostSigmaY, path,
                 ": its metadata say sigma_y ", quote_name(text), "; expected a number of 0 to ", kMostSigmaY);
  return value;
}

// "C,H,W"
ImageShape image_of(const std::string& path, const std::string& text) {
  int sides[3] = {0, 0, 0};
  size_t at = 0;
  bool good = true;
  for (int i = 0; i < 3 && good; ++i) {
    good = i == 0 || (at < text.size() && text[at] == ',');
    if (i > 0) ++at;
    good = good && read_number(text, at, sides[i]) && sides[i] >= 1;
  }
  ITO_USER_CHECK(good && at == text.size(), path, ": its metadata say image ", quote_name(text), "; expected C,H,W");
  return {sides[1], sides[2], sides[0]};
}

std::vector<float> rows_of(const SafetensorsFile& file, const char* name, int64_t first, int64_t count, int64_t width) {
  const std::vector<float> all = file.read_floats(name);
  const std::vector<float> rows(all.begin() + first * width, all.begin() + (first + count) * width);
  for (size_t i = 0; i < rows.size(); ++i)
    ITO_USER_CHECK(std::isfinite(rows[i]), file.path(), ": ", name, " ", first + static_cast<int64_t>(i) / width,
                   " holds ", rows[i], " as number ", static_cast<int64_t>(i) % width,
                   "; expected finite numbers, leave it out with --first and --count");
  return rows;
}

std::string shape_of(const ImageShape& image) {
  return join_text(image.channels, " x ", image.height, " x ", image.width);
}

}  // namespace

MeasurementFile::MeasurementFile(const std::string& path) : file_(SafetensorsFile::open(path)) {
  ITO_USER_CHECK(file_.has(kTensor), path, ": has no tensor ", kTensor, "; expected what ito measure writes");
  const std::vector<int64_t>& shape = file_.entry(kTensor).shape;
  ITO_USER_CHECK(shape.size() == 2 && shape[0] >= 1, path, ": ", kTensor, " is of shape ", shape_text(shape),
                 "; expected (N, M), one row a measurement");
  count_ = shape[0];
  const auto& metadata = file_.metadata();
  if (const auto at = metadata.find(kOperator); at != metadata.end()) facts_.op = at->second;
  if (const auto at = metadata.find(kSigmaY); at != metadata.end()) facts_.sigma_y = sigma_y_of(path, at->second);
  if (const auto at = metadata.find(kImage); at != metadata.end()) facts_.image = image_of(path, at->second);
}

Measurements MeasurementFile::read(const MeasurementOperator& op, const std::string& op_text, int64_t first,
                                   int64_t count) const {
  const ImageShape& image = op.image();
  const std::vector<int64_t>& shape = file_.entry(kTensor).shape;
  ITO_USER_CHECK(shape[1] == op.measurements(), path(), ": ", kTensor, " is of shape ", shape_text(shape),
                 "; operator ", op_text, " measures ", op.measurements(), " numbers of an image of ", shape_of(image),
                 ", so that ", shape_text({shape[0], op.measurements()}),
                 " is expected; give the operator that they were made with");
  Measurements read;
  read.count = count;
  read.y = to_interleaved(rows_of(file_, kTensor, first, count, op.measurements()), count, op.measured());
  if (file_.has(kTruth)) {
    file_.check_shape(kTruth, {count_, image.channels, image.height, image.width});
    read.truth = to_interleaved(rows_of(file_, kTruth, first, count, image.size()), count, image);
  }
  if (file_.has(kLabels) && is_float(file_.entry(kLabels).type)) {
    const std::vector<int64_t>& of_labels = file_.entry(kLabels).shape;
    if (of_labels.size() != 2) file_.check_shape(kLabels, {count_});
    read.value_width = of_labels.size() == 2 ? of_labels[1] : 1;
    if (of_labels.size() == 2) file_.check_shape(kLabels, {count_, read.value_width});
    read.values = rows_of(file_, kLabels, first, count, read.value_width);
  } else if (file_.has(kLabels)) {
    file_.check_shape(kLabels, {count_});
    const std::vector<int64_t> all = file_.read_i64(kLabels);
    read.labels.assign(all.begin() + first, all.begin() + first + count);
  }
  return read;
}

std::vector<float> Measurements::label_values(const std::string& where, int64_t width) const {
  ITO_USER_CHECK(!labels.empty() || !values.empty(), where, ": has no labels, which this model needs; use --labels");
  const int64_t found = values.empty() ? 1 : value_width;
  ITO_USER_CHECK(found == width, where, ": has labels of ", found, found == 1 ? " number" : " numbers",
                 " an image, the model takes ", width);
  return values.empty() ? std::vector<float>(labels.begin(), labels.end()) : values;
}

void write_measurements(const std::string& path, const MeasurementOperator& op, const std::string& op_text,
                        double sigma_y, uint64_t seed, const Measurements& measurements) {
  const ImageShape& image = op.image();
  const int64_t n = measurements.count;
  SafetensorsWriter writer;
  writer.add(kTensor, {n, op.measurements()}, to_planar(measurements.y, n, op.measured()));
  writer.add(kTruth, {n, image.channels, image.height, image.width}, to_planar(measurements.truth, n, image));
  if (!measurements.values.empty())
    writer.add(kLabels, {n, measurements.value_width}, measurements.values);
  else if (!measurements.labels.empty())
    writer.add_i64(kLabels, {n}, measurements.labels);
  writer.set_metadata(kOperator, op_text);
  writer.set_metadata(kSigmaY, exact_text(sigma_y));
  writer.set_metadata(kImage, join_text(image.channels, ",", image.height, ",", image.width));
  writer.set_metadata(kSeed, std::to_string(seed));
  writer.write(path);
}

}  // namespace ito
