// SPDX-License-Identifier: Apache-2.0
// See profile_window.h.
#include "tools/commands/profile_window.h"

#include <charconv>
#include <exception>
#include <memory>

#include "engine/io/input_file.h"
#include "kernels/error.h"
#include "kernels/seams/profiler.h"

namespace ito {
namespace {

bool read_number(const std::string& text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

ProfileWindow::ProfileWindow(const std::string& text) {
  if (text.empty()) return;
  const size_t colon = text.find(':');
  const bool read = colon != std::string::npos && read_number(text.substr(0, colon), first_) &&
                    read_number(text.substr(colon + 1), last_);
  ITO_USER_CHECK(read && first_ >= 1 && last_ >= first_, "--profile-steps ", quote_name(text),
                 ": expected two steps A:B with 1 <= A <= B, such as 20:29");
}

void ProfileWindow::check_rows(int64_t rows, const std::string& whose) const {
  ITO_USER_CHECK(last_ <= rows, "--profile-steps ", first_, ":", last_, ": ", whose, " has ", rows,
                 rows == 1 ? " row" : " rows", "; expected 1 <= A <= B <= ", rows);
}

RowWatch ProfileWindow::of_rows(Stream& stream) const {
  if (last_ < first_) return {};
  const auto step = std::make_shared<std::optional<Step>>();
  return {.before = [window = *this, step, &stream](int row) { step->emplace(window, row + 1, stream); },
          .after = [step](int) { step->reset(); }};
}

ProfileWindow::Step::Step(const ProfileWindow& window, int64_t step, Stream& stream) {
  if (step < window.first_ || step > window.last_) return;
  if (step == window.first_) {
    stream.synchronize();
    profiler_start();
  }
  if (step == window.last_) ends_ = &stream;
  range_.emplace("profiled");
}

// After a step that failed there is nothing to wait for, and its error is the one to report.
ProfileWindow::Step::~Step() {
  if (!ends_) return;
  try {
    ends_->synchronize();
    profiler_stop();
  } catch (const std::exception&) {
  }
}

}  // namespace ito
