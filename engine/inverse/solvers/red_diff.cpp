// SPDX-License-Identifier: Apache-2.0
// RED-diff (Mardani, Song, Kautz and Vahdat 2024): no draw, an estimate. Adam walks mu down the residual and what the
// network finds wrong with a noised mu, at levels from noise to data (kernels/inverse/red_diff.h); means are over one
// image, so that a batch's images do not know each other. The spread of its draws is the optimiser's noise.
#include <cmath>

#include "engine/inverse/solvers/steps.h"
#include "kernels/inverse/red_diff.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

constexpr SamplerOption kLambda = {"lambda", 0.25, 0, 1e6, "weight of the prior"};
constexpr SamplerOption kRate = {"rate", 0.1, 1e-9, 1e3, "of Adam"};
constexpr SamplerOption kOptions[] = {kLambda, kRate};

// The authors start at H+ y. Of a blur that is mostly noise, hundreds of times the image's range, from which Adam does
// not come back.
constexpr float kStartRange = 1;

class RedDiffHooks : public MeasurementHooks {
 public:
  RedDiffHooks(MeasurementOperator& op, std::vector<RedDiffRow> steps, Level first)
      : MeasurementHooks(op), steps_(std::move(steps)), first_{first} {}

  void plan(Denoiser& denoiser, int rows, BufferList& buffers) override {
    MeasurementHooks::plan(denoiser, rows, buffers);
    const size_t numbers = static_cast<size_t>(denoiser.batch() * op().image().size());
    for (DeviceBuffer<float>* buffer : {&mu_, &first_moment_, &second_moment_, &eps_, &next_eps_, &data_})
      buffers.add(*buffer, numbers, "the state of red-diff");
    buffers.add(steps_on_device_, steps_.size(), "steps of red-diff");
    buffers.add(draws_, steps_.size() + 1, "draws of red-diff");
  }
  void prepare(Stream& stream) override {
    MeasurementHooks::prepare(stream);
    steps_on_device_.upload(stream, steps_.data());
    std::vector<EditRow> draws;
    for (size_t i = 0; i <= steps_.size(); ++i) draws.push_back({0, static_cast<int32_t>(i)});
    draws_.upload(stream, draws.data());
  }
  void start(Stream& stream, const LoopState& state) override {
    MeasurementHooks::start(stream, state);
    const int64_t size = op().image().size(), count = state.n * size;
    if (op().has_pseudo_inverse()) {
      op().pseudo_inverse(stream, mu_.data(), y(), state.n);
      clip_start(stream, mu_.data(), kStartRange, count);
    } else {
      fill_bytes(stream, mu_.data(), 0, mu_.bytes());
    }
    fill_bytes(stream, first_moment_.data(), 0, first_moment_.bytes());
    fill_bytes(stream, second_moment_.data(), 0, second_moment_.bytes());
    draw_edit_noise(stream, eps_.data(), draws_.data(), nullptr, state.counter, state.n, size);
    affine(stream, state.x, mu_.data(), static_cast<float>(first_.alpha), 0, count);
    accumulate(stream, state.x, Write::Add, eps_.data(), static_cast<float>(first_.sigma), count);
  }
  bool update(Stream& stream, const LoopState& state) override {
    const int64_t size = op().image().size();
    const EstimateInputs in = inputs(state);
    float* residual = scratch().measured.data();
    op().apply(stream, residual, mu_.data(), state.n);
    measure_residual(stream, residual, y(), residual, false, state.n, op().measurements());
    op().adjoint(stream, data_.data(), residual, mu_.data(), state.n);
    draw_edit_noise(stream, eps_.data(), draws_.data(), state.row, state.counter, state.n, size);
    draw_edit_noise(stream, next_eps_.data(), draws_.data() + 1, state.row, state.counter, state.n, size);
    red_diff_step(stream,
                  {.mu = mu_.data(), .first = first_moment_.data(), .second = second_moment_.data(), .x = state.x},
                  {.pred = in.pred,
                   .wide = in.wide,
                   .eps = eps_.data(),
                   .next_eps = next_eps_.data(),
                   .data = data_.data(),
                   .data_weight = 1.0f / static_cast<float>(op().measurements()),
                   .rows = in.rows,
                   .steps = steps_on_device_.data(),
                   .row = in.row},
                  state.n, in.pixels, in.c);
    return true;
  }

 private:
  std::vector<RedDiffRow> steps_;
  Level first_;
  DeviceBuffer<float> mu_, first_moment_, second_moment_, eps_, next_eps_, data_;
  DeviceBuffer<RedDiffRow> steps_on_device_;
  DeviceBuffer<EditRow> draws_;
};

RestorePlan red_diff(const RestoreProblem& p) {
  const std::vector<Level> nodes = p.nodes();
  RowBuilder rows = p.rows();
  std::vector<RedDiffRow> steps;
  for (int i = 0; i < p.steps; ++i) {
    const Level &at = nodes[static_cast<size_t>(i)], &next = nodes[static_cast<size_t>(i) + 1];
    add_call(rows, at);
    const double first = 1 - std::pow(static_cast<double>(kRedDiffBeta1), i + 1);
    const double second = std::sqrt(1 - std::pow(static_cast<double>(kRedDiffBeta2), i + 1));
    steps.push_back(
        {.score = static_cast<float>(p.option(kLambda.key) * at.s() / static_cast<double>(p.op.image().size())),
         .rate = static_cast<float>(p.option(kRate.key) * second / first),
         .epsilon = static_cast<float>(1e-8 * second),
         .next_alpha = static_cast<float>(next.alpha),
         .next_sigma = static_cast<float>(next.sigma)});
  }
  return {.table = rows.table(), .hooks = std::make_unique<RedDiffHooks>(p.op, std::move(steps), nodes.front())};
}

}  // namespace

extern const Solver kRedDiff;
const Solver kRedDiff = {
    .name = "red-diff",
    .summary = "an estimate by Adam on residual and prior, no draw (Mardani et al. 2024)",
    .usual_steps = 250,
    .published_steps = 1000,
    .needs = Needs::Derivative,
    .needs_noisy = Needs::Derivative,
    .options = kOptions,
    .plan = red_diff,
};

}  // namespace ito
