// SPDX-License-Identifier: Apache-2.0
// --profile-steps A:B: the steps of training, or the rows of a reverse loop, that a profiler from outside is to look
// at. It is told before the first and after the last of them, when the device has done what came before; on a CPU the
// range alone is there.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/reverse/row_loop.h"
#include "kernels/seams/device.h"
#include "kernels/seams/ranges.h"

namespace ito {

class ProfileWindow {
 public:
  static constexpr const char* kHelp =
      "steps A:B, both with them, for nsys -c cudaProfilerApi or ncu --profile-from-start off";
  static constexpr const char* kRowsHelp =
      "rows A:B of the first batch, a call of the network each, for nsys -c cudaProfilerApi or ncu "
      "--profile-from-start "
      "off";

  ProfileWindow() = default;
  explicit ProfileWindow(const std::string& text);  // "" for none; UserError unless A:B

  // Around the rows of a reverse loop's first batch, counted from 1, which then go out one by one: profilers see the
  // first turn alone of a loop inside a graph. No watch without a window.
  RowWatch of_rows(Stream& stream) const;
  void check_rows(int64_t rows,
                  const std::string& whose) const;  // UserError where there are fewer than the window asks

  // Around one step; steps count from 1.
  class Step {
   public:
    Step(const ProfileWindow& window, int64_t step, Stream& stream);
    ~Step();
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    std::optional<Range> range_;
    Stream* ends_ = nullptr;  // set for the last step of the window
  };

 private:
  int64_t first_ = 0, last_ = -1;
};

}  // namespace ito
