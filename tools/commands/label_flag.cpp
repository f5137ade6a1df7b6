// SPDX-License-Identifier: Apache-2.0
// See label_flag.h.
#include "tools/commands/label_flag.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

// Empty where the text is no list of numbers.
std::vector<float> numbers_of(const std::string& text) {
  std::vector<float> numbers;
  for (const char* at = text.data();; ++at) {
    float number = 0;
    const auto [end, error] = std::from_chars(at, text.data() + text.size(), number);
    if (error != std::errc() || !std::isfinite(number)) return {};
    numbers.push_back(number);
    if (end == text.data() + text.size()) return numbers;
    if (*end != ',') return {};
    at = end;
  }
}

std::vector<float> rows_of_file(const std::string& path, int64_t width) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("labels"), path, ": has no tensor 'labels'");
  const std::vector<int64_t>& shape = file.entry("labels").shape;
  const bool fits =
      !shape.empty() && shape[0] >= 1 && (shape.size() == 2 ? shape[1] == width : shape.size() == 1 && width == 1);
  ITO_USER_CHECK(fits, path, ": tensor 'labels' has shape ", shape_text(shape), "; the model takes [M, ", width, "]",
                 width == 1 ? " or [M]" : "");
  std::vector<float> rows = file.read_f32("labels");
  for (const float value : rows)
    ITO_USER_CHECK(std::isfinite(value), path, ": labels holds ", value, "; expected finite numbers");
  return rows;
}

}  // namespace

std::vector<float> label_values_of(const std::string& text, const Network& network, int64_t first, int64_t count) {
  const auto width = static_cast<size_t>(network.label_width);
  ITO_USER_CHECK(
      network.labels == LabelKind::Value || text.empty(), "--labels ", quote_name(text), ": the model ",
      network.labels == LabelKind::Index ? "takes class numbers; use --class" : "takes no labels; leave the flag out");
  if (network.labels != LabelKind::Value) return {};
  ITO_USER_CHECK(!text.empty(), "--labels: is missing, and the model takes real-valued labels of ", width,
                 width == 1 ? " number" : " numbers", " an image (class_embed_type); give numbers or a file");
  std::vector<float> rows = numbers_of(text);
  if (rows.empty()) {
    ITO_USER_CHECK(std::filesystem::is_regular_file(text), "--labels ", quote_name(text),
                   ": is neither numbers with commas between nor a file");
    rows = rows_of_file(text, static_cast<int64_t>(width));
  }
  ITO_USER_CHECK(width == 1 || rows.size() % width == 0, "--labels ", quote_name(text), ": has ", rows.size(),
                 " numbers, the model takes ", width, " an image");
  const size_t all = rows.size() / width;
  std::vector<float> values(static_cast<size_t>(count) * width);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = rows[(static_cast<size_t>(first) + i / width) % all * width + i % width];
  return values;
}

}  // namespace ito
