// SPDX-License-Identifier: Apache-2.0
// Gradient norm, the decisions of a step, AdamW and the moving average: against fp64 and against PyTorch's numbers.
#include "kernels/optim/adamw.h"

#include <deque>
#include <memory>

#include "engine/ranks/subtrees.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

TrainState fresh_state() {
  TrainState state{};
  state.beta1_power = state.beta2_power = 1;
  return state;
}

TEST(GradientNorm, SumsEachSpanInDouble) {
  Stream stream;
  for (int64_t count : {int64_t{1}, int64_t{17}, kNormSpan, kNormSpan + 1, 3 * kNormSpan + 1234}) {
    Values g = stored<float>(random_values(count, 1));
    g[0] = static_cast<float>(1e25);  // its square is past fp32
    const int64_t spans = ceil_div(count, kNormSpan);
    DeviceArray<float> gradient(stream, g);
    DeviceArray<double> partial(stream, spans), one(stream, 1);
    gradient_square_sums(stream, partial, gradient, count);
    Values want(spans, 0.0);
    for (int64_t i = 0; i < count; ++i) want[i / kNormSpan] += g[i] * g[i];
    expect_close("spans", partial.raw(), want, kNormSpan * 0x1p-53, 0);
    gradient_square_sums(stream, one, gradient + (spans - 1) * kNormSpan, count - (spans - 1) * kNormSpan);
    EXPECT_EQ(one.raw()[0], partial.raw()[spans - 1]);  // a span alone has the same bits
  }
}

TEST(OptimizerPrepare, FoldsAndDecides) {
  Stream stream;
  const int batch = 5;
  const Values losses = stored<float>(random_values(batch, 2, 0.1, 1.0)), partials = {3.0, 0.5, 12.5};
  const Values rates = stored<float>({1e-3, 2e-3, 3e-3});
  OptimizerSettings settings;
  settings.max_gradient_norm = 1.0f;
  DeviceArray<float> loss(stream, losses), table(stream, rates);
  DeviceArray<double> partial(stream, 3);
  partial.upload_raw(partials);
  DeviceArray<TrainState> state(stream, 1);
  TrainState start = fresh_state();
  start.step = 1, start.applied = 7, start.skipped_in_row = 2, start.skipped = 4;
  start.beta1_power = std::pow(0.9, 7), start.beta2_power = std::pow(0.999, 7);
  start.loss_sum = 10, start.loss_count = 3;
  state.upload_raw({start});
  optimizer_prepare(stream, state, loss, batch, partial, 3, table, settings);
  const TrainState s = state.raw()[0];
  double mean = 0;
  for (double l : losses) mean += l / batch;
  EXPECT_EQ(s.step, 2);
  EXPECT_EQ(s.applied, 8);
  EXPECT_EQ(s.skipped, 4);
  EXPECT_EQ(s.skipped_in_row, 0);
  EXPECT_NEAR(s.last_loss, mean, 1e-15 * 10);
  EXPECT_NEAR(s.loss_sum, 10 + mean, 1e-14);
  EXPECT_EQ(s.loss_count, 4);
  EXPECT_DOUBLE_EQ(s.gradient_norm, 4.0);
  EXPECT_EQ(s.learning_rate, static_cast<float>(rates[1]));
  EXPECT_FLOAT_EQ(s.gradient_scale, static_cast<float>(1 / (4 + 1e-6)));
  EXPECT_FLOAT_EQ(s.bias_correction1, static_cast<float>(1 - std::pow(0.9, 8)));
  EXPECT_FLOAT_EQ(s.bias_correction2, static_cast<float>(1 - std::pow(0.999, 8)));
  EXPECT_EQ(s.apply, 1);

  settings.max_gradient_norm = 5.0f;  // larger than the norm: no scaling
  optimizer_prepare(stream, state, loss, batch, partial, 3, table, settings);
  EXPECT_EQ(state.raw()[0].gradient_scale, 1.0f);
  start.step = 0;
  state.upload_raw({start});
  settings.max_gradient_norm = 0.0f;  // off
  optimizer_prepare(stream, state, loss, batch, partial, 3, table, settings);
  EXPECT_EQ(state.raw()[0].gradient_scale, 1.0f);
}

TEST(OptimizerPrepare, ManyPartialsAndLosses) {
  Stream stream;
  const int batch = 700, count = 1500;
  Values losses = stored<float>(random_values(batch, 3)), squares = random_values(count, 4);
  for (double& v : squares) v *= v;
  double mean = 0, sum = 0, size = 0;
  for (double l : losses) mean += l / batch, size += std::fabs(l) / batch;
  for (double v : squares) sum += v;
  DeviceArray<float> loss(stream, losses), table(stream, Values{1e-3});
  DeviceArray<double> partial(stream, count);
  partial.upload_raw(squares);
  DeviceArray<TrainState> state(stream, 1);
  state.upload_raw({fresh_state()});
  optimizer_prepare(stream, state, loss, batch, partial, count, table, {});
  EXPECT_NEAR(state.raw()[0].last_loss, mean, batch * 0x1p-53 * size);
  EXPECT_NEAR(state.raw()[0].gradient_norm, std::sqrt(sum), count * 0x1p-53 * std::sqrt(sum));
}

// Losses over many decades, so that every order of their sum has bits of its own.
TEST(OptimizerPrepare, LossesJoinByTheTree) {
  Stream stream;
  const int chunk = images_per_chunk();
  for (const int batch : {1, chunk, 5 * chunk + 1, 64 * chunk, 700, 300 * chunk - 1}) {
    Values losses = random_values(batch, 5), decade = random_values(batch, 6);
    std::vector<std::vector<double>> chunks;
    for (int i = 0; i < batch; ++i) {
      losses[i] = static_cast<float>(std::fabs(losses[i]) * std::pow(10.0, 3 * decade[i]));
      if (i % chunk == 0) chunks.push_back({0.0});
      chunks.back()[0] += losses[i];
    }
    DeviceArray<float> loss(stream, losses), table(stream, Values{1e-3});
    DeviceArray<double> partial(stream, 1);
    partial.upload_raw({1.0});
    DeviceArray<TrainState> state(stream, 1);
    state.upload_raw({fresh_state()});
    optimizer_prepare(stream, state, loss, batch, partial, 1, table, {});
    EXPECT_EQ(state.raw()[0].last_loss, ref::tree_sum(chunks)[0] / batch) << batch;
  }
}

TEST(OptimizerPrepare, EmaDecayRamps) {
  Stream stream;
  DeviceArray<float> loss(stream, Values{1}), table(stream, Values{1e-3});
  DeviceArray<double> partial(stream, 1);
  partial.upload_raw({1.0});
  DeviceArray<TrainState> state(stream, 1);
  for (const double power : {0.75, 2.0 / 3}) {
    for (const double inv_gamma : {1.0, 20.0}) {
      for (const double applied : {0.0, 1.0, 2.0, 10.0, 1000.0, 1e6, 1e9}) {
        OptimizerSettings settings;
        settings.ema_ramp = static_cast<float>(power), settings.ema_inv_gamma = static_cast<float>(inv_gamma);
        TrainState start = fresh_state();
        start.applied = static_cast<int64_t>(applied);
        state.upload_raw({start});
        optimizer_prepare(stream, state, loss, 1, partial, 1, table, settings);
        const double ramp = 1 - std::pow(1 + applied / inv_gamma, -static_cast<double>(settings.ema_ramp));
        const double want = std::min(static_cast<double>(settings.emas[0].max_decay), ramp);
        EXPECT_NEAR(state.raw()[0].ema_decay, want, u) << applied << " updates";
      }
    }
  }
}

// (1 - 1/t)^power, t counted from 1; a decay's rounding to fp32 is half a unit of a number below 1.
TEST(OptimizerPrepare, PowerFunctionsHaveTheirDecays) {
  Stream stream;
  DeviceArray<float> loss(stream, Values{1}), table(stream, Values{1e-3});
  DeviceArray<double> partial(stream, 1);
  partial.upload_raw({1.0});
  DeviceArray<TrainState> state(stream, 1);
  for (const double applied : {0.0, 1.0, 9.0, 1000.0, 1e6}) {
    OptimizerSettings settings;
    settings.emas[1].power = 17.97;
    settings.emas[2].max_decay = 0.5f;
    settings.emas[3].power = 1;
    settings.ema_count = kMostEmas;
    TrainState start = fresh_state();
    start.applied = static_cast<int64_t>(applied);
    state.upload_raw({start});
    optimizer_prepare(stream, state, loss, 1, partial, 1, table, settings);
    const TrainState s = state.raw()[0];
    const double kept = 1 - 1 / (applied + 1), ramp = 1 - std::pow(1 + applied, -0.75);
    EXPECT_NEAR(s.ema_decay, std::min<double>(0.9999f, ramp), u);
    EXPECT_NEAR(s.more_ema_decays[0], std::pow(kept, 17.97), u) << applied;
    EXPECT_NEAR(s.more_ema_decays[1], std::min(0.5, ramp), u) << applied;
    EXPECT_NEAR(s.more_ema_decays[2], kept, u) << applied;
  }
}

// Runs `steps` of prepare and update the way a trainer does.
struct Trainer {
  Stream stream;
  DeviceArray<float> weight, m, v, ema, gradient, loss, rates;
  std::deque<DeviceArray<float>> more;  // the further averages
  DeviceArray<bf16> copy;
  DeviceArray<double> partial;
  DeviceArray<TrainState> state;
  OptimizerSettings settings;
  int64_t count;
  bool copies = false;  // makes the weights' bf16 copy too

  Trainer(const Values& start, const Values& table)
      : weight(stream, start),
        m(stream, Values(start.size(), 0.0)),
        v(stream, Values(start.size(), 0.0)),
        ema(stream, start),
        gradient(stream, start.size()),
        loss(stream, Values{1}),
        rates(stream, table),
        copy(stream, start.size()),
        partial(stream, ceil_div(start.size(), kNormSpan)),
        state(stream, 1),
        count(static_cast<int64_t>(start.size())) {
    state.upload_raw({fresh_state()});
  }
  void step(const Values& g) {
    gradient.upload(g);
    gradient_square_sums(stream, partial, gradient, count);
    optimizer_prepare(stream, state, loss, 1, partial, static_cast<int64_t>(partial.size()), rates, settings);
    adamw_ema(stream, weight, m, v, emas(), copies ? copy.data() : nullptr, gradient, count, state, settings);
  }
  void keep(const std::vector<EmaProfile>& profiles) {
    std::copy(profiles.begin(), profiles.end(), settings.emas);
    settings.ema_count = static_cast<int>(profiles.size());
    while (more.size() + 1 < profiles.size()) more.emplace_back(stream, ema.values());
  }
  EmaArenas emas() {
    EmaArenas all(ema.data());
    for (DeviceArray<float>& one : more) all.of[all.count++] = one.data();
    return all;
  }
  // The same by owners of slices one after the other: each writes its spans' partials where all partials stand, and,
  // when it has everybody's, decides for itself.
  void step_in_slices(const Values& g, int ranks) {
    gradient.upload(g);
    for (int rank = 0; rank < ranks; ++rank) {
      const IndexRange slice = slice_of_rank(count, ranks, rank);
      gradient_square_sums(stream, partial + slice.first / kNormSpan, gradient + slice.first, slice.count);
    }
    optimizer_prepare(stream, state, loss, 1, partial, static_cast<int64_t>(partial.size()), rates, settings);
    for (int rank = 0; rank < ranks; ++rank) {
      const auto [first, own] = slice_of_rank(count, ranks, rank);
      adamw_ema(stream, weight + first, m + first, v + first, emas().from(first), copies ? copy + first : nullptr,
                gradient + first, own, state, settings);
    }
  }
  std::string bits() const {
    std::string all = weight.bits() + m.bits() + v.bits() + ema.bits() + copy.bits() + partial.bits() + state.bits();
    for (const DeviceArray<float>& one : more) all += one.bits();
    return all;
  }
};

// torch.optim.AdamW in fp64 (torch 1.13): five steps, lr 1e-2, betas 0.9 and 0.999, eps 1e-8, weight decay 0.1.
// 1e-6 relative: some ten fp32 roundings a step of numbers of the size of the result.
TEST(AdamW, MatchesPyTorch) {
  const Values want_w = {0.4753388319440559, -1.2509212970109254, -0.037049603294750086, 1.9629474925295984};
  const Values want_m = {-0.03277499999999999, 0.06903799999999999, 0.0005609099999999999, 0.27418};
  const Values want_v = {0.00046227266744751036, 0.0006988707196800406, 1.5232518242001012e-08, 0.014269432025509012};
  Trainer trainer({0.5, -1.25, 0.003, 2.0}, Values(5, 1e-2));
  trainer.settings.weight_decay = 0.1f;
  trainer.settings.max_gradient_norm = 0;
  for (const Values& g : {Values{0.1, -0.2, 1e-3, 3.0}, Values{-0.05, 0.4, 2e-3, -1.0}, Values{0.3, 0.0, -5e-4, 0.25},
                          Values{1e-4, 0.7, 1e-3, 2.0}, Values{-0.6, -0.1, 3e-3, -0.5}}) {
    trainer.step(g);
  }
  expect_close("weight", trainer.weight.values(), want_w, 1e-6, 0);
  expect_close("m", trainer.m.values(), want_m, 1e-6, 0);
  expect_close("v", trainer.v.values(), want_v, 1e-6, 0);
}

// One step at a time from the stored state: a few roundings an element, clipping and the moving average included.
TEST(AdamW, MatchesFp64StepByStep) {
  const int64_t count = 2 * kNormSpan + 77;
  const Values rates = stored<float>({1e-3, 5e-4, 1e-3, 2e-2});
  Trainer trainer(stored<float>(random_values(count, 5)), rates);
  const OptimizerSettings& k = trainer.settings;
  for (int step = 0; step < 4; ++step) {
    const Values w = trainer.weight.values(), m = trainer.m.values(), v = trainer.v.values(),
                 ema = trainer.ema.values();
    const Values g = stored<float>(random_values(count, 60 + step, step == 2 ? 1e-4 : 1.0));  // clipped but at step 2
    trainer.step(g);
    const double norm = std::sqrt(dot(g, g)), scale = std::min(1.0, 1.0 / (norm + 1e-6));
    const double c1 = 1 - std::pow(k.beta1, step + 1), c2 = 1 - std::pow(k.beta2, step + 1), lr = rates[step];
    const double decay = std::min<double>(k.emas[0].max_decay, 1 - std::pow(1.0 + step, -0.75));
    Values want_w(count), want_m(count), want_v(count), want_ema(count), size(count), m_size(count), ema_size(count);
    for (int64_t i = 0; i < count; ++i) {
      const double gradient = scale * g[i];
      want_m[i] = k.beta1 * m[i] + (1 - k.beta1) * gradient;
      want_v[i] = k.beta2 * v[i] + (1 - k.beta2) * gradient * gradient;
      const double update = want_m[i] / c1 / (std::sqrt(want_v[i] / c2) + k.eps);
      want_w[i] = w[i] - lr * k.weight_decay * w[i] - lr * update;
      want_ema[i] = decay * ema[i] + (1 - decay) * want_w[i];
      m_size[i] = std::fabs(k.beta1 * m[i]) + std::fabs((1 - k.beta1) * gradient);
      const double m_error = m_size[i] / c1 / (std::sqrt(want_v[i] / c2) + k.eps);
      size[i] = std::fabs(w[i]) + lr * m_error * 4;
      ema_size[i] = std::fabs(decay * ema[i]) + (1 - decay) * size[i];
    }
    expect_close(join_text("m, step ", step), trainer.m.values(), want_m, u, 4 * u, m_size);
    expect_close(join_text("v, step ", step), trainer.v.values(), want_v, 8 * u, 0);
    expect_close(join_text("weight, step ", step), trainer.weight.values(), want_w, u, 4 * u, size);
    expect_close(join_text("ema, step ", step), trainer.ema.values(), want_ema, u, 6 * u, ema_size);
    if (step == 0) {
      EXPECT_EQ(trainer.ema.bits(), trainer.weight.bits());  // decay 0 at the first update
    }
  }
}

// Element by element in fp32, in the order in which the arithmetic is written: four at a time and alone are the same,
// as is the copy, which is the new weight rounded once.
TEST(AdamW, EveryElementHasTheSameArithmetic) {
  for (const int64_t count : {1, 3, 4, 7, 2048, 2 * 2048 + 1030}) {
    for (const bool copies : {false, true}) {
      Trainer trainer(stored<float>(random_values(count, 9)), Values(3, 1e-2));
      trainer.copies = copies;
      const OptimizerSettings& k = trainer.settings;
      for (int step = 0; step < 2; ++step) {
        std::vector<float> w = trainer.weight.raw(), m = trainer.m.raw(), v = trainer.v.raw(), ema = trainer.ema.raw();
        trainer.step(random_values(count, 90 + step));
        const std::vector<float> g = trainer.gradient.raw();
        const TrainState s = trainer.state.raw()[0];
        const auto b1 = static_cast<float>(k.beta1), b2 = static_cast<float>(k.beta2);
        const auto r1 = static_cast<float>(1 - k.beta1), r2 = static_cast<float>(1 - k.beta2);
        const auto keep =
            static_cast<float>(1 - static_cast<double>(s.learning_rate) * static_cast<double>(k.weight_decay));
        const float rate = -s.learning_rate / s.bias_correction1, correct2 = 1.0f / s.bias_correction2;
        std::vector<bf16> rounded;
        for (size_t i = 0; i < w.size(); ++i) {
          const float scaled = s.gradient_scale * g[i];
          m[i] = std::fma(r1, scaled, b1 * m[i]);
          v[i] = std::fma(r2, scaled * scaled, b2 * v[i]);
          w[i] = std::fma(rate, m[i] / (std::sqrt(v[i] * correct2) + k.eps), keep * w[i]);
          ema[i] = std::fma(1.0f - s.ema_decay, w[i], s.ema_decay * ema[i]);
          rounded.push_back(narrow<bf16>(static_cast<double>(w[i])));
        }
        const std::string what = join_text(count, " elements, step ", step);
        EXPECT_EQ(trainer.weight.raw(), w) << what;
        EXPECT_EQ(trainer.m.raw(), m) << what;
        EXPECT_EQ(trainer.v.raw(), v) << what;
        EXPECT_EQ(trainer.ema.raw(), ema) << what;
        if (copies) {
          EXPECT_EQ(std::memcmp(trainer.copy.raw().data(), rounded.data(), trainer.copy.bytes()), 0) << what;
        }
      }
    }
  }
}

// Weights and moments know nothing of how many averages there are, and each average nothing of the others.
TEST(AdamW, EachAverageIsAsIfAlone) {
  const std::vector<EmaProfile> profiles{{.power = 7.9}, {}, {.max_decay = 0.3f}, {.power = 17.97}};
  for (const int64_t count : {3, 2 * 2048 + 1030}) {
    const Values start = stored<float>(random_values(count, 9)), rates(3, 1e-2);
    std::vector<std::unique_ptr<Trainer>> alone;
    for (const EmaProfile& profile : profiles) {
      alone.push_back(std::make_unique<Trainer>(start, rates));
      alone.back()->keep({profile});
      for (int step = 0; step < 3; ++step) alone.back()->step(random_values(count, 90 + step));
    }
    for (size_t kept = 2; kept <= profiles.size(); ++kept)
      for (const bool copies : {false, true}) {
        Trainer together(start, rates);
        together.copies = copies;
        together.keep({profiles.begin(), profiles.begin() + static_cast<int64_t>(kept)});
        for (int step = 0; step < 3; ++step) together.step(random_values(count, 90 + step));
        EXPECT_EQ(together.weight.bits() + together.m.bits() + together.v.bits(),
                  alone[0]->weight.bits() + alone[0]->m.bits() + alone[0]->v.bits());
        EXPECT_EQ(together.ema.bits(), alone[0]->ema.bits());
        for (size_t e = 1; e < kept; ++e)
          EXPECT_EQ(together.more[e - 1].bits(), alone[e]->ema.bits()) << e << " of " << kept << ", " << count;
      }
  }
}

TEST(AdamW, SlicesOfOwnersAreTheWhole) {
  const int64_t count = 5 * kNormSpan + 1234;
  const Values start = stored<float>(random_values(count, 10)), rates(2, 1e-2);
  for (const bool copies : {false, true}) {
    Trainer whole(start, rates);
    whole.copies = copies;
    if (copies) whole.keep({{}, {.power = 7.9}});
    for (int step = 0; step < 2; ++step) whole.step(random_values(count, 100 + step));
    for (const int ranks : {1, 2, 3, 6, 8}) {  // 8: more than there are spans
      Trainer owners(start, rates);
      owners.copies = copies;
      if (copies) owners.keep({{}, {.power = 7.9}});
      for (int step = 0; step < 2; ++step) owners.step_in_slices(random_values(count, 100 + step), ranks);
      EXPECT_TRUE(owners.bits() == whole.bits()) << ranks << " ranks";
    }
  }
}

TEST(AdamW, SkipsAStepThatIsNotFinite) {
  const int64_t count = kNormSpan + 9;
  Trainer trainer(stored<float>(random_values(count, 7)), Values(8, 1e-3));
  trainer.copies = true;
  const Values good = random_values(count, 8);
  trainer.step(good);
  const std::string before =
      trainer.weight.bits() + trainer.m.bits() + trainer.v.bits() + trainer.ema.bits() + trainer.copy.bits();
  const double loss_sum = trainer.state.raw()[0].loss_sum;
  const auto now = [&] {
    return trainer.weight.bits() + trainer.m.bits() + trainer.v.bits() + trainer.ema.bits() + trainer.copy.bits();
  };
  Values bad = good;
  bad[count - 1] = NAN;
  trainer.step(bad);
  EXPECT_EQ(now(), before);
  bad[count - 1] = INFINITY;
  trainer.step(bad);
  EXPECT_EQ(now(), before);
  TrainState s = trainer.state.raw()[0];
  EXPECT_EQ(s.step, 3);
  EXPECT_EQ(s.applied, 1);
  EXPECT_EQ(s.skipped, 2);
  EXPECT_EQ(s.skipped_in_row, 2);
  EXPECT_DOUBLE_EQ(s.beta1_power, 0.9);
  EXPECT_EQ(s.loss_sum, loss_sum + 2);  // the loss itself was finite
  trainer.loss.upload({NAN});
  trainer.step(good);
  s = trainer.state.raw()[0];
  EXPECT_EQ(now(), before);
  EXPECT_EQ(s.skipped_in_row, 3);
  EXPECT_EQ(s.most_skipped_in_row, 3);
  EXPECT_EQ(s.loss_sum, loss_sum + 2);
  EXPECT_EQ(s.loss_count, 3);

  // A streak that has ended is still seen, a shorter one after it does not hide it, and the host begins anew.
  const auto step = [&](float loss) {
    trainer.loss.upload({loss});
    trainer.step(good);
    return trainer.state.raw()[0];
  };
  s = step(1);
  EXPECT_EQ(s.skipped_in_row, 0);
  EXPECT_EQ(s.most_skipped_in_row, 3);
  s = step(NAN);
  EXPECT_EQ(s.skipped_in_row, 1);
  EXPECT_EQ(s.most_skipped_in_row, 3);
  s.most_skipped_in_row = 0;
  trainer.state.upload_raw({s});
  s = step(NAN);
  EXPECT_EQ(s.most_skipped_in_row, 2) << "a streak over a line of the log is counted whole";
}

}  // namespace
}  // namespace ito::test
