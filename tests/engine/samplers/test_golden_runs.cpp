// SPDX-License-Identifier: Apache-2.0
// Every sampler's table, run in fp64 and by the kernel, against the states of the published schedulers.
#include "kernels/diffusion/gauge.h"
#include "kernels/diffusion/reverse_row.h"
#include "tests/engine/samplers/golden_walks.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

class GoldenRuns : public ::testing::TestWithParam<GoldenRun> {};

double signed_sum(const Values& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum;
}
double absolute_sum(const Values& x) {
  double sum = 0;
  for (const double value : x) sum += std::fabs(value);
  return sum;
}

void expect_golden(const GoldenRun& run, const ReverseTable& table, const std::vector<Values>& first_states,
                   const Values& end, double relative) {
  for (size_t k = 0; k < 3; ++k)
    if (run.after[k] != 0) {
      const size_t rows = run.rows_a_step * (k + 1);
      const double alpha = run.start_alpha != 0 ? table.rows.at(rows).alpha : 1;
      EXPECT_NEAR(signed_sum(first_states.at(k)) / alpha / run.after[k], 1, relative) << "after call " << rows;
    }
  EXPECT_NEAR(absolute_sum(end) / run.sum, 1, relative);
}

// The published runs draw the opening's noise apart from the first state, which is the input.
Values start_of(const GoldenRun& run, const ReverseTable& table) {
  const double own = std::sqrt(std::pow(table.start_scale, 2) - std::pow(table.opening_noise, 2));
  double scale = own;
  if (run.start_scale != 0) scale = run.start_alpha != 0 ? run.start_scale * run.start_alpha : run.start_scale;
  if (run.walk && run.start_alpha == 0) {
    EXPECT_NEAR(own / scale, 1, 1e-12);
  }
  Values x = golden_input();
  for (size_t i = 0; i < x.size(); ++i) x[i] = scale * x[i] + table.opening_noise * golden_noise(i, 0);
  return x;
}

// In fp64 only the rows' own rounding to float is left: some four roundings of 6e-8 a row, 25 rows at most. The runs
// that were published in fp32 (1000 steps, or digits missing) differ from double by up to 6e-6.
TEST_P(GoldenRuns, OfTheTableInFp64) {
  const GoldenRun& run = GetParam();
  const ReverseTable table = table_of(run);
  ref::RowRun state{.x = start_of(run, table), .registers = {}, .image_size = kGoldenSize};
  state.registers.assign(table.registers, Values(state.x.size(), NAN));
  std::vector<Values> first;
  ref::run_rows(
      table.rows, table.first_input_scale, state, run.network,
      [&](size_t i, int draw) { return run.noise ? golden_noise(i, draw) : 0.0; },
      [&](size_t row) {
        if (first.size() < 3 && (row + 1) % run.rows_a_step == 0) first.push_back(state.x);
      });
  expect_golden(run, table, first, state.x, run.from_double ? 5e-6 : 2e-5);
}

// The kernel rounds every sum: 16u of its terms a row (test_reverse_row.cpp), which a solver that follows the flow does
// not amplify; the closed-form networks' answers are rounded once more.
TEST_P(GoldenRuns, OfTheKernel) {
  const GoldenRun& run = GetParam();
  if (run.noise) GTEST_SKIP() << "the kernel draws its own noise";
  const ReverseTable table = table_of(run);
  Stream stream;
  const Values start = start_of(run, table);
  DeviceArray<ReverseRow> rows(stream, table.rows.size());
  rows.upload_raw(table.rows);
  DeviceArray<float> x(stream, start), network(stream, start.size()), pred(stream, start.size()),
      registers(stream, std::max<size_t>(1, table.registers * start.size())), gauges(stream, 2 * kGoldenImages);
  DeviceArray<int64_t> row(stream, Values{0});
  SampleCounter counter;
  scale_input(stream, network.data(), x, static_cast<float>(table.first_input_scale), static_cast<int64_t>(x.size()));
  // A sampler that is quiet by its options still draws in ddpm: its noise is taken out of the rows.
  std::vector<ReverseRow> quiet = table.rows;
  for (ReverseRow& one : quiet) {
    one.draw = -1;
    for (auto& weight : one.weight) weight[kNoise] = 0;
  }
  rows.upload_raw(quiet);
  std::vector<Values> first;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    Values answer = network.values();
    for (double& value : answer) value = run.network(value, table.rows[i].timestep);
    pred.upload(answer);
    measure_gauges(stream, gauges, x, pred.data(), false, rows, row, counter, kGoldenImages, kGoldenSize / 3, 3);
    reverse_row(stream, x, network.data(), registers, table.registers, pred.data(), false, gauges, rows, row, counter,
                kGoldenImages, kGoldenSize / 3, 3);
    advance_row(stream, row);
    if (first.size() < 3 && (i + 1) % run.rows_a_step == 0) first.push_back(x.values());
  }
  const double rounding = std::min(static_cast<double>(table.rows.size()), 25.0) * 16 * kRoundFloat;
  expect_golden(run, table, first, x.values(), rounding + (run.from_double ? 5e-6 : 2e-5));
}

std::string name_of(const ::testing::TestParamInfo<GoldenRun>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Published, GoldenRuns, ::testing::ValuesIn(golden_runs()), name_of);
INSTANTIATE_TEST_SUITE_P(OnLevelsOfTheirOwn, GoldenRuns, ::testing::ValuesIn(golden_walks()), name_of);

}  // namespace
}  // namespace ito::test
