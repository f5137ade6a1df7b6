// SPDX-License-Identifier: Apache-2.0
// The table of what networks predict, and the conversion that serves every pair of its lines.
#include "engine/diffusion/quantity.h"

#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr double one(const StateAt&) {
  return 1;
}

// from_x0 x0 + from_x (alpha x0 + sigma eps); the posterior's mean from one timestep to the one before.
Combination posterior_mean(const StateAt& at) {
  const double abar = at.alpha * at.alpha, variance = at.sigma * at.sigma, before = at.abar_previous;
  const double kept = abar / before;  // alpha_t of one forward step
  const double from_x0 = std::sqrt(before) * (1 - kept) / variance, from_x = std::sqrt(kept) * (1 - before) / variance;
  return {from_x0 + from_x * at.alpha, from_x * at.sigma};
}

// The lines are Quantity::epsilon() to Quantity::mean(), in their order.
constexpr Quantity::Line kQuantities[] = {
    {"epsilon",
     [](const StateAt&) -> Combination {
       return {0, 1};
     },
     one},
    {"sample",
     [](const StateAt&) -> Combination {
       return {1, 0};
     },
     one},
    {"v_prediction",
     [](const StateAt& at) -> Combination {
       return {-at.sigma, at.alpha};
     },
     one},
    {"score",
     [](const StateAt& at) -> Combination {
       return {0, -1 / at.sigma};
     },
     [](const StateAt& at) { return at.sigma * at.sigma; }},
    {"flow_prediction",
     [](const StateAt&) -> Combination {
       return {-1, 1};
     },
     one},
    {"mean", posterior_mean, one},
};

// The determinant of [x; given] = [alpha sigma; g.x0 g.eps] [x0; eps].
double determinant(Combination g, const StateAt& at) {
  return at.alpha * g.eps - at.sigma * g.x0;
}

}  // namespace

Quantity Quantity::epsilon() {
  return Quantity(&kQuantities[0]);
}

Quantity Quantity::x0() {
  return Quantity(&kQuantities[1]);
}

Quantity Quantity::v() {
  return Quantity(&kQuantities[2]);
}

Quantity Quantity::score() {
  return Quantity(&kQuantities[3]);
}

Quantity Quantity::flow() {
  return Quantity(&kQuantities[4]);
}

Quantity Quantity::mean() {
  return Quantity(&kQuantities[5]);
}

std::vector<Quantity> Quantity::all() {
  std::vector<Quantity> quantities;
  for (const Line& line : kQuantities) quantities.push_back(Quantity(&line));
  return quantities;
}

std::string_view name_of(Quantity quantity) {
  return quantity.name();
}

std::string quantity_names() {
  std::string names;
  for (const Quantity quantity : Quantity::all()) names += (names.empty() ? "" : ", ") + std::string(quantity.name());
  return names;
}

Quantity quantity_of(std::string_view name, const std::string& where) {
  std::vector<std::string> known;
  for (const Quantity quantity : Quantity::all()) {
    if (quantity.name() == name) return quantity;
    known.emplace_back(quantity.name());
  }
  fail<UserError>(where, ": prediction_type ", quote_name(name), " is not implemented; use one of ", quantity_names(),
                  did_you_mean(name, known));
}

bool is_determined(Combination given, const StateAt& at) {
  return at.sigma > 0 && determinant(given, at) != 0;
}
bool is_determined(Quantity given, const StateAt& at) {
  return is_determined(given.combination(at), at);
}

Conversion conversion(Quantity given, Quantity wanted, const StateAt& at) {
  ITO_CHECK(at.alpha >= 0 && at.sigma > 0, "conversion of predictions: alpha ", at.alpha, ", sigma ", at.sigma,
            "; expected a level with noise");
  if (given == wanted) return {0, 1};
  ITO_CHECK(is_determined(given, at), "conversion of predictions: at alpha ", at.alpha, " ", given.name(),
            " does not determine ", wanted.name());
  return conversion(given.combination(at), wanted.combination(at), at);
}

Conversion conversion(Combination g, Combination w, const StateAt& at) {
  const double d = determinant(g, at);
  ITO_CHECK(d != 0, "conversion of predictions: at alpha ", at.alpha, ", sigma ", at.sigma,
            " one does not determine another");
  return {(w.x0 * g.eps - w.eps * g.x0) / d, (w.eps * at.alpha - w.x0 * at.sigma) / d};
}

}  // namespace ito
