// SPDX-License-Identifier: Apache-2.0
// The words that write a table: what they put into its rows, and every slip that they refuse.
#include "engine/samplers/row_builder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace ito::test {
namespace {

const Reading kReading(Quantity::epsilon());

Level level(double time) {
  return Levels(NoiseSchedule(SchedulerConfig{})).at(time);
}

TEST(RowBuilder, WritesTheTermsItIsTold) {
  RowBuilder rows(kReading, Space::Vp, {.range = 2});
  const Register start = rows.reserve(), slope = rows.reserve();
  rows.call(level(900)).set(start).x(1).state().x(0.5).x0(0.25).eps(-1).pred(3).noise(0.75).set(slope).eps(1);
  rows.call(level(400)).state().reg(slope, -2).reg(start, 0.125);
  const ReverseTable table = rows.table();
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.registers, 2);
  EXPECT_EQ(table.draws, 1);
  EXPECT_EQ(table.start_scale, 1);
  EXPECT_EQ(table.first_input_scale, 1);

  const ReverseRow &first = table.rows[0], &second = table.rows[1];
  EXPECT_EQ(first.timestep, 900);
  EXPECT_EQ(first.clip, 2);
  EXPECT_EQ(first.reads, 0u);
  EXPECT_EQ(first.draw, 0);
  ASSERT_EQ(first.writes, 3);
  EXPECT_EQ(first.to[0], 0);
  EXPECT_EQ(first.to[1], kState);
  EXPECT_EQ(first.to[2], 1);
  EXPECT_EQ(first.weight[0][kX], 1);
  const float state[] = {0.5f, 0.25f, -1, 3, 0.75f};
  for (int source = 0; source < kRegister0; ++source) EXPECT_EQ(first.weight[1][source], state[source]) << source;
  EXPECT_EQ(first.weight[2][kEps], 1);
  EXPECT_EQ(first.gauge, Gauge::None);

  EXPECT_EQ(second.reads, 3u);
  EXPECT_EQ(second.draw, -1);
  ASSERT_EQ(second.writes, 1);
  EXPECT_EQ(second.weight[0][kRegister0 + 1], -2);
  EXPECT_EQ(second.weight[0][kRegister0], 0.125f);
}

TEST(RowBuilder, ReadsTheAnswerAtTheLevel) {
  const Level at = level(300);
  RowBuilder rows(kReading, Space::Vp);
  rows.call(at).state().x(1);
  rows.call(at).eps_from_clipped_x0().state().x(1);
  const ReverseTable table = rows.table();
  // x0 = (x - sigma eps) / alpha; eps from x0 = (x - alpha x0) / sigma.
  EXPECT_FLOAT_EQ(table.rows[0].x0_from_x, static_cast<float>(1 / at.alpha));
  EXPECT_FLOAT_EQ(table.rows[0].x0_from_pred, static_cast<float>(-at.sigma / at.alpha));
  EXPECT_EQ(table.rows[0].eps_from_x, 0);
  EXPECT_EQ(table.rows[0].eps_from_pred, 1);
  EXPECT_EQ(table.rows[0].eps_from_x0, 0);
  EXPECT_FLOAT_EQ(table.rows[1].eps_from_x, static_cast<float>(1 / at.sigma));
  EXPECT_FLOAT_EQ(table.rows[1].eps_from_x0, static_cast<float>(-at.alpha / at.sigma));
  EXPECT_EQ(table.rows[1].eps_from_pred, 0);
  EXPECT_FLOAT_EQ(table.rows[0].alpha, static_cast<float>(at.alpha));
  EXPECT_FLOAT_EQ(table.rows[0].sigma, static_cast<float>(at.sigma));
}

// y = x / alpha: the network is given alpha y, and a row scales its state for the call after it.
TEST(RowBuilder, SigmaSpaceScalesTheInputOfTheNextCall) {
  const Level from = level(900), to = level(500);
  RowBuilder rows(kReading, Space::Sigma);
  rows.start_at(from.s());
  rows.call(from).state().x(1);
  rows.call(to).state().x(1);
  const ReverseTable table = rows.table();
  EXPECT_EQ(table.start_scale, from.s());
  EXPECT_DOUBLE_EQ(table.first_input_scale, from.alpha);
  EXPECT_FLOAT_EQ(table.rows[0].next_input_scale, static_cast<float>(to.alpha));
  EXPECT_EQ(table.rows[1].next_input_scale, 1);
  EXPECT_FLOAT_EQ(table.rows[0].x0_from_x, 1);  // x0 = y - s eps
  EXPECT_FLOAT_EQ(table.rows[0].x0_from_pred, static_cast<float>(-from.s()));
  EXPECT_EQ(table.rows[0].alpha, 1);
  EXPECT_FLOAT_EQ(table.rows[0].sigma, static_cast<float>(from.s()));
}

// Draws are counted, not rows: a row without noise leaves the next its number, a skipped draw takes one.
TEST(RowBuilder, CountsDraws) {
  RowBuilder rows(kReading, Space::Vp);
  const Register kept = rows.reserve();
  rows.call(level(900)).state().x(1);
  rows.call(level(800)).state().noise(2).set(kept).noise(3);
  rows.call(level(700)).state().x(1).skip_draw();
  rows.call(level(600)).state().x(1).noise(0);
  rows.call(level(500)).state().noise(1);
  const ReverseTable table = rows.table();
  EXPECT_EQ(table.draws, 4);
  const int draws[] = {-1, 0, -1, -1, 3};
  for (size_t i = 0; i < table.rows.size(); ++i) EXPECT_EQ(table.rows[i].draw, draws[i]) << i;
}

// Noise on the first state is drawn with it, at their joint size, and takes draw 0.
TEST(RowBuilder, OpeningNoise) {
  RowBuilder rows(kReading, Space::Sigma);
  rows.start_at(3);
  rows.add_opening_noise(4);
  rows.call(level(900)).state().x(1).noise(2);
  const ReverseTable table = rows.table();
  EXPECT_DOUBLE_EQ(table.start_scale, 5);
  EXPECT_EQ(table.opening_noise, 4);
  EXPECT_EQ(table.draws, 2);
  EXPECT_EQ(table.rows[0].draw, 1);
}

// The answer is read at the first level, the time is the other's.
TEST(RowBuilder, TellsTheNetworkAnotherLevel) {
  for (const NetworkTime time : {NetworkTime::Index, NetworkTime::LogSigmaQuarter}) {
    const Reading reading(Quantity::epsilon(), time);
    RowBuilder rows(reading, Space::Vp), plain(reading, Space::Vp);
    rows.call(level(300), level(400)).state().x(1);
    plain.call(level(300)).state().x(1);
    ReverseRow row = rows.table().rows[0];
    EXPECT_EQ(row.timestep, static_cast<float>(reading.time(level(400))));
    EXPECT_EQ(row.x0_from_pred, plain.table().rows[0].x0_from_pred);
    EXPECT_EQ(row.sigma, static_cast<float>(level(300).sigma));
  }
}

TEST(RowBuilder, AHistoryRotatesItsRegisters) {
  RowBuilder rows(kReading, Space::Vp);
  History<2> past(rows);
  EXPECT_EQ(past.size(), 0);
  for (int i = 0; i < 4; ++i) {
    rows.call(level(900 - 100 * i)).state().x(1);
    for (int age = 1; age <= past.size(); ++age) rows.reg(past[age], age);
    past.keep_x0();
  }
  const ReverseTable table = rows.table();
  EXPECT_EQ(table.registers, 2);
  EXPECT_EQ(table.rows[0].reads, 0u);
  EXPECT_EQ(table.rows[1].reads, 1u);
  EXPECT_EQ(table.rows[2].reads, 3u);
  const int kept_in[] = {0, 1, 0, 1};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(table.rows[i].to[1], kept_in[i]) << i;
  EXPECT_EQ(table.rows[2].weight[0][kRegister0 + 1], 1);  // the newest
  EXPECT_EQ(table.rows[2].weight[0][kRegister0 + 0], 2);  // overwritten by this very row, after it is read
  EXPECT_EQ(table.rows[3].weight[0][kRegister0 + 0], 1);
  EXPECT_THROW(past[3], Error);
}

struct Slip {
  const char* says;
  std::function<void(RowBuilder&)> make;
};

TEST(RowBuilder, RefusesWhatADeviceCouldNotShow) {
  const Slip slips[] = {
      {"reads register 0, which no earlier row wrote",
       [](RowBuilder& rows) {
         const Register r = rows.reserve();
         rows.call(level(900)).state().reg(r, 1);
       }},
      {"reads register 0, which no earlier row wrote",  // its own row's write is not earlier
       [](RowBuilder& rows) {
         const Register r = rows.reserve();
         rows.call(level(900)).set(r).x(1).state().reg(r, 1);
       }},
      {"more than 3 writes",
       [](RowBuilder& rows) {
         rows.call(level(900)).state().x(1);
         for (int i = 0; i < 3; ++i) rows.set(rows.reserve()).x(1);
       }},
      {"writes the state twice", [](RowBuilder& rows) { rows.call(level(900)).state().x(1).state().x0(1); }},
      {"writes register 0 twice",
       [](RowBuilder& rows) {
         const Register r = rows.reserve();
         rows.call(level(900)).set(r).x(1).set(r).x0(1);
       }},
      {"more than 8 registers",
       [](RowBuilder& rows) {
         for (int i = 0; i <= kRegisters; ++i) rows.reserve();
       }},
      {"a register that was not reserved", [](RowBuilder& rows) { rows.call(level(900)).set(Register{}).x(1); }},
      {"a register that was not reserved", [](RowBuilder& rows) { rows.call(level(900)).state().reg(Register{}, 1); }},
      {"a term before state() or set()", [](RowBuilder& rows) { rows.call(level(900)).x(1); }},
      {"before the first call", [](RowBuilder& rows) { rows.state(); }},
      {"noise on the first state after the first call",
       [](RowBuilder& rows) {
         rows.call(level(900)).state().x(1);
         rows.add_opening_noise(1);
       }},
      {"writes nothing",
       [](RowBuilder& rows) {
         rows.call(level(900));
         rows.call(level(800)).state().x(1);
       }},
      {"writes nothing",
       [](RowBuilder& rows) {
         rows.call(level(900));
         rows.table();
       }},
      {"a table without rows", [](RowBuilder& rows) { rows.table(); }},
      {"the weight of eps is nan", [](RowBuilder& rows) { rows.call(level(900)).state().eps(NAN); }},
      {"the weight of x is inf",
       [](RowBuilder& rows) { rows.call(level(900)).state().x(std::numeric_limits<double>::infinity()); }},
      {"the weight of x0 is 1e+300", [](RowBuilder& rows) { rows.call(level(900)).state().x0(1e300); }},
  };
  for (const Slip& slip : slips) {
    RowBuilder rows(kReading, Space::Vp);
    std::string said = "nothing";
    try {
      slip.make(rows);
    } catch (const Error& error) {
      said = error.what();
    }
    EXPECT_NE(said.find(slip.says), std::string::npos) << slip.says << " was expected, but it said " << said;
  }
}

}  // namespace
}  // namespace ito::test
