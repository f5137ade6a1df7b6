// SPDX-License-Identifier: Apache-2.0
// See row_builder.h. Errors name the row: they are a sampler's mistakes, found when its table is made.
#include "engine/samplers/row_builder.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "kernels/error.h"

namespace ito {
namespace {

// As a float, which it is rounded to.
double finite(double value, const char* what, size_t row) {
  ITO_CHECK(std::isfinite(static_cast<float>(value)), "sampler: row ", row, ": ", what, " is ", value,
            ", expected a finite number");
  return value;
}

// Field by field: one that is new is rounded here, too.
ReverseRow rounded(const RowOf<double>& row) {
  const auto to_float = [](double value) { return static_cast<float>(value); };
  ReverseRow out{};
  out.timestep = to_float(row.timestep);
  out.x0_from_x = to_float(row.x0_from_x), out.x0_from_pred = to_float(row.x0_from_pred);
  out.clip = to_float(row.clip);
  out.eps_from_x = to_float(row.eps_from_x), out.eps_from_pred = to_float(row.eps_from_pred);
  out.eps_from_x0 = to_float(row.eps_from_x0);
  out.next_input_scale = to_float(row.next_input_scale);
  out.log_variance_high = to_float(row.log_variance_high), out.log_variance_low = to_float(row.log_variance_low);
  out.alpha = to_float(row.alpha), out.sigma = to_float(row.sigma);
  out.guidance = to_float(row.guidance);
  out.draw = row.draw;
  out.gauge = row.gauge;
  out.gauge_ratio = to_float(row.gauge_ratio), out.gauge_most = to_float(row.gauge_most);
  out.reads = row.reads;
  out.writes = row.writes;
  for (int w = 0; w < kWrites; ++w) {
    out.to[w] = row.to[w];
    std::transform(std::begin(row.weight[w]), std::end(row.weight[w]), out.weight[w], to_float);
  }
  return out;
}

constexpr const char* name_of_source(int source) {
  constexpr const char* kNames[] = {"the weight of x", "the weight of x0", "the weight of eps", "the weight of pred",
                                    "the weight of noise"};
  return source < kRegister0 ? kNames[source] : "the weight of a register";
}

}  // namespace

RowOf<double>& RowBuilder::row() {
  ITO_CHECK(!table_.exact.empty(), "sampler: a row's part before the first call");
  return table_.exact.back();
}

Register RowBuilder::reserve() {
  ITO_CHECK(table_.registers < kRegisters, "sampler: more than ", kRegisters, " registers");
  Register r;
  r.number_ = table_.registers++;
  return r;
}

Register RowBuilder::reserve_given() {
  const Register r = reserve();
  written_ |= 1u << r.number_;
  return r;
}

void RowBuilder::check_register(Register r) const {
  ITO_CHECK(r.number_ >= 0 && r.number_ < table_.registers, "sampler: row ", table_.exact.size() - 1,
            ": a register that was not reserved");
}

void RowBuilder::close() {
  if (table_.exact.empty()) return;
  const RowOf<double>& done = row();
  ITO_CHECK(done.writes > 0, "sampler: row ", table_.exact.size() - 1, " writes nothing");
  for (int w = 0; w < done.writes; ++w)
    if (done.to[w] != kState) written_ |= 1u << done.to[w];
}

void RowBuilder::add_opening_noise(double weight) {
  ITO_CHECK(table_.exact.empty() && table_.draws == 0, "sampler: noise on the first state after the first call");
  opening_noise_ = weight;
  ++table_.draws;
}

RowBuilder& RowBuilder::call(const Level& level, const Level& told) {
  close();
  const CallAt at = reading_.call(level, space_);
  if (table_.exact.empty())
    table_.first_input_scale = at.input_scale;
  else
    row().next_input_scale = finite(at.input_scale, "the input's scale", table_.exact.size());
  eps_from_x0_ = at.eps_from_x0;
  counted_ = false;

  const size_t number = table_.exact.size();
  RowOf<double>& next = table_.exact.emplace_back();
  next.timestep = finite(reading_.time(told), "the timestep", number);
  next.x0_from_x = finite(at.x0.from_x, "x0's part of x", number);
  next.x0_from_pred = finite(at.x0.from_given, "x0's part of pred", number);
  if (clip_.quantile > 0) {
    next.gauge = Gauge::Quantile;
    next.gauge_ratio = finite(clip_.quantile, "the quantile", number);
    next.gauge_most = finite(clip_.most, "the largest threshold", number);
  } else {
    next.clip = finite(clip_.range, "the clip", number);
  }
  next.eps_from_x = finite(at.eps.from_x, "eps's part of x", number);
  next.eps_from_pred = finite(at.eps.from_given, "eps's part of pred", number);
  next.next_input_scale = 1;
  const Mixing state = reading_.state(level, space_);
  next.alpha = finite(state.alpha, "alpha", number);
  next.sigma = finite(state.sigma, "sigma", number);
  next.guidance = 1;
  next.draw = -1;
  return *this;
}

RowBuilder& RowBuilder::eps_from_clipped_x0() {
  const size_t number = table_.exact.size() - 1;
  row().eps_from_x = finite(eps_from_x0_.from_x, "eps's part of x", number);
  row().eps_from_pred = 0;
  row().eps_from_x0 = finite(eps_from_x0_.from_given, "eps's part of x0", number);
  return *this;
}

RowBuilder& RowBuilder::langevin(double signal_to_noise, double alpha) {
  const size_t number = table_.exact.size() - 1;
  ITO_CHECK(row().gauge == Gauge::None, "sampler: row ", number, " is thresholded and cannot be a Langevin step");
  row().gauge = Gauge::Langevin;
  row().gauge_ratio = finite(signal_to_noise, "the signal-to-noise ratio", number);
  row().gauge_most = finite(alpha, "the corrector's alpha", number);
  return *this;
}

RowBuilder& RowBuilder::learned_variance(double log_high, double log_low) {
  const size_t number = table_.exact.size() - 1;
  row().log_variance_high = finite(log_high, "a log-variance", number);
  row().log_variance_low = finite(log_low, "a log-variance", number);
  return *this;
}

RowBuilder& RowBuilder::begin(int to) {
  RowOf<double>& open = row();
  const size_t number = table_.exact.size() - 1;
  ITO_CHECK(open.writes < kWrites, "sampler: row ", number, " has more than ", kWrites, " writes");
  for (int w = 0; w < open.writes; ++w)
    ITO_CHECK(open.to[w] != to, "sampler: row ", number, " writes ",
              to == kState ? "the state" : join_text("register ", to), " twice");
  open.to[open.writes++] = to;
  return *this;
}

RowBuilder& RowBuilder::set(Register target) {
  check_register(target);
  return begin(target.number_);
}

RowBuilder& RowBuilder::add(int source, double weight) {
  RowOf<double>& open = row();
  const size_t number = table_.exact.size() - 1;
  ITO_CHECK(open.writes > 0, "sampler: row ", number, " has a term before state() or set()");
  double& sum = open.weight[open.writes - 1][source];
  // A source that is named twice in one write: its weights add.
  sum = finite(sum + weight, name_of_source(source), number);
  return *this;
}

RowBuilder& RowBuilder::reg(Register source, double weight) {
  check_register(source);
  ITO_CHECK(written_ >> source.number_ & 1, "sampler: row ", table_.exact.size() - 1, " reads register ",
            source.number_, ", which no earlier row wrote");
  row().reads |= 1u << source.number_;
  return add(kRegister0 + source.number_, weight);
}

RowBuilder& RowBuilder::skip_draw() {
  row();
  if (!counted_) ++table_.draws;
  counted_ = true;
  return *this;
}

RowBuilder& RowBuilder::noise(double weight) {
  skip_draw();
  if (weight == 0) return *this;
  row().draw = table_.draws - 1;
  return add(kNoise, weight);
}

ReverseTable RowBuilder::table() {
  ITO_CHECK(!table_.exact.empty(), "sampler: a table without rows");
  close();
  table_.rows.clear();
  for (const RowOf<double>& row : table_.exact) table_.rows.push_back(rounded(row));
  table_.start_scale = std::hypot(start_scale_, opening_noise_);
  table_.opening_noise = opening_noise_;
  return table_;
}

}  // namespace ito
