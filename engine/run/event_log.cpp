// SPDX-License-Identifier: Apache-2.0
// See event_log.h.
#include "engine/run/event_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "engine/io/image.h"
#include "engine/io/input_file.h"

namespace ito {
namespace {

// TensorBoard reads a folder's files in the order of their names.
constexpr const char* kBeginning = "events.out.tfevents.";

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int64_t files_in(const std::string& folder) {
  int64_t last = 0;
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    const std::string name = item.path().filename().string();
    if (!name.starts_with(kBeginning)) continue;
    const std::string number = name.substr(std::string(kBeginning).size());
    int64_t found = 0;
    std::from_chars(number.data(), number.data() + number.size(), found);
    last = std::max(last, found);
  }
  return last;
}

double number_of(const Json& line, const char* key) {
  const Json value = line.value(key, Json());  // null: the log's word for NaN
  return value.is_number() ? value.get<double>() : NAN;
}

}  // namespace

EventLog::EventLog(const std::string& folder, int64_t done) {
  std::filesystem::create_directories(folder);
  const std::string name = fmt::format("{}{:010}.ito", kBeginning, files_in(folder) + 1);
  file_.emplace((std::filesystem::path(folder) / name).string(), now(), done + 1);
}

void EventLog::add(const Json& metrics, const Json& timings) {
  file_->scalars(now(), metrics.at("step").get<int64_t>(),
                 {{"loss", number_of(metrics, "loss")},
                  {"gradient_norm", number_of(metrics, "gradient_norm")},
                  {"learning_rate", number_of(metrics, "learning_rate")},
                  {"images_per_second", number_of(timings, "images_per_second")}});
}

void EventLog::add_picture(int64_t step, const std::string& png_file) {
  const std::vector<uint8_t> bytes = read_whole_file(png_file);
  const Image image = decode_png(bytes, png_file);
  file_->picture(now(), step, "samples",
                 {image.height, image.width, image.channels, std::string(bytes.begin(), bytes.end())});
}

}  // namespace ito
