// SPDX-License-Identifier: Apache-2.0
// The table of what networks predict, and the conversion that serves every pair of its lines.
#include "engine/diffusion/quantity.h"

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr double one(double, double) {
  return 1;
}

// The first five lines are Quantity::epsilon() to Quantity::flow(), in their order.
constexpr Quantity::Line kQuantities[] = {
    {"epsilon",
     [](double, double) -> Combination {
       return {0, 1};
     },
     one},
    {"sample",
     [](double, double) -> Combination {
       return {1, 0};
     },
     one},
    {"v_prediction",
     [](double alpha, double sigma) -> Combination {
       return {-sigma, alpha};
     },
     one},
    {"score",
     [](double, double sigma) -> Combination {
       return {0, -1 / sigma};
     },
     [](double, double sigma) { return sigma * sigma; }},
    {"flow_prediction",
     [](double, double) -> Combination {
       return {-1, 1};
     },
     one},
};

// The determinant of [x; given] = [alpha sigma; g.x0 g.eps] [x0; eps].
double determinant(Combination g, double alpha, double sigma) {
  return alpha * g.eps - sigma * g.x0;
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

bool is_determined(Combination given, double alpha, double sigma) {
  return sigma > 0 && determinant(given, alpha, sigma) != 0;
}
bool is_determined(Quantity given, double alpha, double sigma) {
  return is_determined(given.combination(alpha, sigma), alpha, sigma);
}

Conversion conversion(Quantity given, Quantity wanted, double alpha, double sigma) {
  ITO_CHECK(alpha >= 0 && sigma > 0, "conversion of predictions: alpha ", alpha, ", sigma ", sigma,
            "; expected a level with noise");
  if (given == wanted) return {0, 1};
  ITO_CHECK(is_determined(given, alpha, sigma), "conversion of predictions: at alpha ", alpha, " ", given.name(),
            " does not determine ", wanted.name());
  return conversion(given.combination(alpha, sigma), wanted.combination(alpha, sigma), alpha, sigma);
}

Conversion conversion(Combination g, Combination w, double alpha, double sigma) {
  const double d = determinant(g, alpha, sigma);
  ITO_CHECK(d != 0, "conversion of predictions: at alpha ", alpha, ", sigma ", sigma,
            " one does not determine another");
  return {(w.x0 * g.eps - w.eps * g.x0) / d, (w.eps * alpha - w.x0 * sigma) / d};
}

}  // namespace ito
