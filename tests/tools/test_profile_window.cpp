// SPDX-License-Identifier: Apache-2.0
// --profile-steps around the rows of a reverse loop: those rows and no others are in its range, row by row, whether
// they are captured or not, of the first batch alone; and no image changes a bit.
#include "tools/commands/profile_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "engine/reverse/reverse_process.h"
#include "tests/engine/reverse/model_with_weights.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

// For every row that ended: whether it did in a range of the window. A capture has its launches' ranges once more, and
// in none.
std::vector<bool> rows_profiled(const std::vector<TimelineEvent>& events) {
  std::vector<bool> rows;
  for (const TimelineEvent& event : events)
    if (event.name == "advance_row") rows.push_back(std::ranges::count(event.inside, "profiled") == 1);
  return rows;
}

TEST(ProfileWindow, HoldsRowsOfTheFirstBatch) {
  set_device_threads(1);  // the network is too small for more
  Model model;
  ReverseSettings settings;
  settings.batch = 2, settings.seed = 5;
  for (const bool capture : {false, true}) {
    settings.capture = capture;
    ReverseProcess process(model.network, tiny_table("ddim", 4), model.weights.data(), settings);
    const std::vector<float> plain = process.all(0, 4, nullptr, nullptr).numbers;
    bool captures = capture;  // the row that goes out alone, when it first does
    const auto profiled = [&](const char* window) {
      timeline_start();
      const RowWatch watch = ProfileWindow(window).of_rows(process.stream());
      EXPECT_EQ(process.all(0, 4, nullptr, nullptr, watch).numbers, plain) << window;
      std::vector<bool> rows = rows_profiled(timeline_take());
      if (std::exchange(captures, false)) {
        EXPECT_FALSE(rows.front());
        rows.erase(rows.begin());
      }
      return rows;
    };
    EXPECT_EQ(profiled("1:1"), (std::vector<bool>{true, false, false, false, false, false, false, false}));
    EXPECT_EQ(profiled("2:3"), (std::vector<bool>{false, true, true, false, false, false, false, false}));
    EXPECT_EQ(profiled(""), std::vector<bool>(8, false));
  }
}

TEST(ProfileWindow, EndsWithTheLastRow) {
  const ProfileWindow window("9:12");
  window.check_rows(12, "sampler ddim");
  ProfileWindow().check_rows(1, "sampler ddim");
  EXPECT_EQ(user_error([&] { window.check_rows(11, "sampler ddim"); }),
            "--profile-steps 9:12: sampler ddim has 11 rows; expected 1 <= A <= B <= 11");
}

}  // namespace
}  // namespace ito::test
