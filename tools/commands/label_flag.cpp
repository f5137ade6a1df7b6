// SPDX-License-Identifier: Apache-2.0
// See label_flag.h.
#include "tools/commands/label_flag.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "engine/data/label_rows.h"
#include "engine/io/input_file.h"
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
    rows = read_label_rows(text, static_cast<int64_t>(width));
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
