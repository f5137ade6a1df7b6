// SPDX-License-Identifier: Apache-2.0
// The kernel that runs a sampler's rows, against fp64 for every part of a row, and the two small launches around it.
#include "kernels/diffusion/reverse_row.h"

#include "kernels/diffusion/noising.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;
constexpr double kNormalError = 5.77 * (3e-7 + 4 * u);  // of one fp32 normal; see test_sample_noise.cpp

// A row that writes the state: x0 = 1.6 x - 1.2 pred, eps = 0.1 x + 0.9 pred, the rest as given.
ReverseRow plain_row() {
  ReverseRow row{};
  row.timestep = 999;
  row.x0_from_x = 1.6f, row.x0_from_pred = -1.2f;
  row.eps_from_x = 0.1f, row.eps_from_pred = 0.9f;
  row.next_input_scale = 1;
  row.draw = -1;
  row.writes = 1;
  row.to[0] = kState;
  row.weight[0][kX] = 0.8f, row.weight[0][kX0] = 0.3f, row.weight[0][kEps] = 0.2f;
  return row;
}

// Adds a write of `source`s with distinct weights: every one of x, x0, eps, pred, noise and the registers in `reads`.
void add_write(ReverseRow& row, int to, float scale) {
  const int w = row.writes++;
  row.to[w] = to;
  for (int source = 0; source < kSources; ++source) row.weight[w][source] = scale * (0.3f + 0.1f * source);
}

struct NamedRow {
  const char* name;
  ReverseRow row;
  int registers = 0;
  bool wide = false;
};

std::vector<NamedRow> rows_of_every_kind() {
  std::vector<NamedRow> rows;
  const auto add = [&](const char* name) -> NamedRow& { return rows.emplace_back(NamedRow{name, plain_row()}); };
  add("no noise, no clip");
  add("noise, draw 7").row.draw = 7;
  rows.back().row.weight[0][kNoise] = 0.4f;
  add("clipped").row.clip = 1;
  {
    ReverseRow& row = add("eps from the clipped x0").row;
    row.clip = 1;
    row.eps_from_x = 1.3f, row.eps_from_pred = 0, row.eps_from_x0 = -0.7f;
  }
  {
    ReverseRow& row = add("thresholded, eps from the thresholded x0").row;
    row.gauge = Gauge::Quantile;
    row.eps_from_x = 1.3f, row.eps_from_pred = 0, row.eps_from_x0 = -0.7f;
  }
  {
    ReverseRow& row = add("a Langevin step").row;
    row.gauge = Gauge::Langevin;
    row.draw = 5, row.weight[0][kNoise] = 0.8f;
  }
  add("the answer itself").row.weight[0][kPred] = -0.6f;
  add("an input scale").row.next_input_scale = 0.37f;
  {
    NamedRow& learned = add("learned variance");
    learned.wide = true;
    learned.row.draw = 2, learned.row.weight[0][kNoise] = 1;
    learned.row.log_variance_high = -1.5f, learned.row.log_variance_low = -4;
    NamedRow& scaled = rows.emplace_back(learned);
    scaled.name = "learned variance, scaled";
    scaled.row.weight[0][kNoise] = 0.7f;
  }
  add("a wide answer whose variance is not used").wide = true;
  {
    NamedRow& kept = add("a register written");
    kept.registers = 1;
    add_write(kept.row, 0, 0.5f);
  }
  for (const int registers : {4, 8}) {
    NamedRow& all = add(registers == 4 ? "4 registers, 3 writes" : "8 registers, 3 writes");
    all.registers = registers;
    all.row.draw = 3;
    all.row.reads = (1u << registers) - 1;
    all.row.writes = 0;
    // Each write reads what the two others overwrite: only old values may be seen.
    add_write(all.row, registers - 1, 0.5f);
    add_write(all.row, kState, -0.8f);
    add_write(all.row, 0, 0.9f);
  }
  {
    NamedRow& some = add("two of 8 registers read, one of them written");
    some.registers = 8;
    some.row.reads = 1u << 2 | 1u << 6;
    some.row.weight[0][kRegister0 + 2] = 0.5f, some.row.weight[0][kRegister0 + 6] = -1.5f;
    some.row.weight[0][kRegister0 + 4] = 3;  // not in `reads`: no part of the sum
    add_write(some.row, 6, 0.25f);
  }
  {
    NamedRow& register_alone = add("no write of the state");
    register_alone.registers = 2;
    register_alone.row.writes = 0;
    add_write(register_alone.row, 1, 0.6f);
  }
  return rows;
}

template <class T>
class ReverseRowKernel : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(ReverseRowKernel, StorageTypes);

// A write is a sum of at most 13 terms, each of which passed three more roundings at most on its way (an estimate, eps
// recomputed from it, the weight): 16u of the terms' sizes. fast_exp adds 2 units of std, and its argument's rounding
// (|0.5 log variance| <= 2, 3u each) as much again, which leaves the nine terms such a row has within the same bound.
TYPED_TEST(ReverseRowKernel, MatchesFp64) {
  using T = TypeParam;
  struct Case {
    int n, pixels, c;
  };
  const std::vector<NamedRow> rows = rows_of_every_kind();
  DeviceArray<ReverseRow> table(this->stream, rows.size());
  {
    std::vector<ReverseRow> host;
    for (const NamedRow& named : rows) host.push_back(named.row);
    table.upload_raw(host);
  }
  for (const Case& s : {Case{3, 5, 3}, Case{2, 1400, 3}, Case{1, 64, 4}, Case{2, 1, 1}}) {
    const int64_t size = s.pixels * s.c, count = s.n * size;
    for (size_t number = 0; number < rows.size(); ++number) {
      const auto& [name, row, registers, wide] = rows[number];
      const std::string what = join_text(name, ", ", s.n, " images of ", s.pixels, " pixels of ", s.c);
      const int width = wide ? 2 : 1;
      DeviceArray<int64_t> at(this->stream, Values{static_cast<double>(number)});
      SampleCounter counter;
      counter.seed = 6, counter.first = 50;
      const Values state = stored<float>(random_values(count, 1)), pred = stored<T>(random_values(width * count, 2)),
                   kept = stored<float>(random_values(std::max(registers, 1) * count, 3));
      DeviceArray<float> x(this->stream, state), bank(this->stream, kept);
      // Any two numbers: what they are is the gauge kernel's business. The quantile cuts some of the estimates.
      Values gauge(2 * s.n);
      for (int i = 0; i < s.n; ++i) gauge[2 * i] = 1 + 0.25f * i, gauge[2 * i + 1] = 0.5f + i;
      DeviceArray<float> gauges(this->stream, gauge);
      DeviceArray<T> device_pred(this->stream, pred), network(this->stream, Values(count, -7));
      Values noise(count, 0.0);
      if (row.draw >= 0) {
        noise = ref::normals(counter.seed, static_cast<uint32_t>(row.draw), 50, purpose_word(Purpose::ReverseNoise),
                             s.n, size);
      }
      reverse_row(this->stream, x, network.data(), bank, registers, device_pred.data(), wide, gauges, table, at,
                  counter, s.n, s.pixels, s.c);

      Values next = state, next_size(count, 0.0), next_bank = kept, bank_size(kept.size(), 0.0);
      for (int64_t i = 0; i < count; ++i) {
        ref::RowInput in;
        const int64_t from = i / s.c * width * s.c + i % s.c;
        in.x = state[i], in.pred = pred[from], in.v = wide ? pred[from + s.c] : 0, in.z = noise[i];
        for (int g = 0; g < 2; ++g) in.gauges[g] = gauge[2 * (i / size) + g];
        for (int r = 0; r < registers; ++r) in.registers[r] = kept[r * count + i];
        const ref::RowOutput out = ref::reverse_element(row, in);
        for (int w = 0; w < row.writes; ++w) {
          (row.to[w] == kState ? next : next_bank)[std::max(row.to[w], 0) * count + i] = out.to[w];
          (row.to[w] == kState ? next_size : bank_size)[std::max(row.to[w], 0) * count + i] =
              out.magnitude[w] + kNormalError * std::fabs(row.weight[w][kNoise]) * std::max(1.0, in.gauges[1]);
        }
      }
      expect_close(what, x.values(), next, 0, 16 * u, next_size);
      expect_close(what + ", registers", bank.values(), next_bank, 0, 16 * u, bank_size);
      bool writes_state = false;
      for (int w = 0; w < row.writes; ++w) writes_state = writes_state || row.to[w] == kState;
      Values copy = x.values();
      for (double& v : copy) v = static_cast<float>(v) * row.next_input_scale;
      EXPECT_EQ(network.values(), writes_state ? stored<T>(copy) : Values(count, -7)) << what;

      // No network copy wanted: the same state. Image n - 1 alone: the same bits.
      DeviceArray<float> plain(this->stream, state), plain_bank(this->stream, kept);
      reverse_row(this->stream, plain, {}, plain_bank, registers, device_pred.data(), wide, gauges, table, at, counter,
                  s.n, s.pixels, s.c);
      EXPECT_EQ(plain.bits(), x.bits()) << what;
      EXPECT_EQ(plain_bank.bits(), bank.bits()) << what;
      const auto last_image = [&](const Values& values) { return Values(values.end() - size, values.end()); };
      Values last_kept;
      for (int r = 0; r < std::max(registers, 1); ++r)
        last_kept.insert(last_kept.end(), kept.begin() + (r + 1) * count - size, kept.begin() + (r + 1) * count);
      DeviceArray<float> alone(this->stream, last_image(state)), alone_bank(this->stream, last_kept);
      counter.first += s.n - 1;
      reverse_row(this->stream, alone, {}, alone_bank, registers, device_pred.data() + (s.n - 1) * size * width, wide,
                  gauges.data() + 2 * (s.n - 1), table, at, counter, 1, s.pixels, s.c);
      EXPECT_EQ(alone.bits(), x.bits().substr((count - size) * sizeof(float))) << what;
      for (int r = 0; r < registers; ++r)
        EXPECT_EQ(alone_bank.bits().substr(r * size * sizeof(float), size * sizeof(float)),
                  bank.bits().substr(((r + 1) * count - size) * sizeof(float), size * sizeof(float)))
            << what << ", register " << r;
    }
  }
}

// Given draws take the place of drawn ones, each row its own.
TYPED_TEST(ReverseRowKernel, TakesGivenDraws) {
  using T = TypeParam;
  constexpr int kImages = 2, kPixels = 7, kChannels = 3, kCount = kImages * kPixels * kChannels, kDraws = 3;
  const Values state = stored<float>(random_values(kCount, 1)), pred = stored<T>(random_values(kCount, 2)),
               given = stored<float>(random_values(kDraws * kCount, 3));
  DeviceArray<float> device_given(this->stream, given);
  DeviceArray<T> device_pred(this->stream, pred);
  for (const int draw : {-1, 0, 2}) {
    ReverseRow row = plain_row();
    row.draw = draw;
    row.weight[0][kNoise] = draw < 0 ? 0 : 0.4f;
    DeviceArray<ReverseRow> table(this->stream, 1);
    table.upload_raw({row});
    DeviceArray<int64_t> at(this->stream, Values{0});
    DeviceArray<float> x(this->stream, state);
    SampleCounter counter;
    counter.given = device_given;
    reverse_row(this->stream, x, {}, nullptr, 0, device_pred.data(), false, nullptr, table, at, counter, kImages,
                kPixels, kChannels);
    Values want(kCount), size(kCount);
    for (int i = 0; i < kCount; ++i) {
      ref::RowInput in;
      in.x = state[i], in.pred = pred[i], in.z = draw < 0 ? 0 : given[draw * kCount + i];
      const ref::RowOutput out = ref::reverse_element(row, in);
      want[i] = out.to[0], size[i] = out.magnitude[0];
    }
    expect_close(join_text("draw ", draw), x.values(), want, 0, 16 * u, size);
  }
}

// The network's sample is its row's state times what the row before says, or what the table begins with.
TEST(ReverseRows, SayTheLevelOfTheNetworksInput) {
  Stream stream;
  std::vector<ReverseRow> rows(2, plain_row());
  rows[0].alpha = 1, rows[0].sigma = 3, rows[0].next_input_scale = 0.25f;
  rows[1].alpha = 0.5f, rows[1].sigma = 2, rows[1].next_input_scale = 7;
  DeviceArray<ReverseRow> table(stream, 2);
  table.upload_raw(rows);
  DeviceArray<int64_t> row(stream, Values{0});
  DeviceArray<float> level(stream, 6);
  set_levels(stream, level, table, row, 0.5f, 3);
  EXPECT_EQ(level.values(), (Values{0.5, 1.5, 0.5, 1.5, 0.5, 1.5}));
  advance_row(stream, row);
  set_levels(stream, level, table, row, 0.5f, 3);
  EXPECT_EQ(level.values(), (Values{0.125, 0.5, 0.125, 0.5, 0.125, 0.5}));
}

TEST(ReverseRows, StepOn) {
  Stream stream;
  DeviceArray<ReverseRow> table(stream, 4);
  std::vector<ReverseRow> rows(4, plain_row());
  rows[2].timestep = 500, rows[3].timestep = 300.25f;
  table.upload_raw(rows);
  DeviceArray<int64_t> row(stream, Values{2});
  DeviceArray<float> t(stream, 3);
  set_timesteps(stream, t, table, row, 3);
  EXPECT_EQ(t.values(), Values(3, 500.0));
  advance_row(stream, row);
  set_timesteps(stream, t, table, row, 3);
  EXPECT_EQ(row.values(), Values{3});
  EXPECT_EQ(t.values(), Values(3, 300.25));
}

TEST(ReverseRowErrors, RefusesWhatItCannotRun) {
  Stream stream;
  DeviceArray<int64_t> row(stream, Values{0});
  DeviceArray<float> x(stream, 4);
  DeviceArray<bf16> other(stream, 4);
  DeviceArray<ReverseRow> table(stream, 1);
  SampleCounter counter;
  const auto run = [&](DataRef network, float* registers, int count) {
    reverse_row(stream, x, network, registers, count, x.data(), false, nullptr, table, row, counter, 1, 4, 1);
  };
  EXPECT_THROW(run(other.data(), nullptr, 0), Error) << "two types";
  EXPECT_THROW(run({}, nullptr, 1), Error) << "a register without memory";
  EXPECT_THROW(run({}, x, kRegisters + 1), Error) << "too many registers";
  counter.step = row;
  EXPECT_THROW(run({}, nullptr, 0), Error) << "a counter that counts steps itself";
}

}  // namespace
}  // namespace ito::test
