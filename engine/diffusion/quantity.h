// SPDX-License-Identifier: Apache-2.0
// What a network may predict. At a level x = alpha x0 + sigma eps every such quantity is a combination of x0 and eps,
// so one 2 x 2 system turns each into each, and its determinant is zero just where that cannot be done.
//   epsilon          eps                       (Ho et al. 2020)
//   sample           x0
//   v_prediction     alpha eps - sigma x0      (Salimans and Ho 2022)
//   score            -eps / sigma              (Song et al. 2021)
//   flow_prediction  eps - x0                  (Liu et al. 2023; the negative of "data minus noise")
// The table in quantity.cpp is the only place that knows them: a line there is trained, read by every sampler, written
// to files and tested.
//
// The score grows without bound as sigma falls (1 / sigma is 100 at the first timestep of the linear schedule), and so
// does its plain squared error, which the first timesteps would then own. Its errors are therefore weighted by sigma^2,
// which makes the loss that of eps (Song et al. 2021, eq. 7): |sigma score - sigma target|^2 = |eps estimate - eps|^2.
// The network still has to put out numbers of the size 1 / sigma.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace ito {

// A quantity as a combination: x0 * x0 + eps * eps.
struct Combination {
  double x0, eps;
};

class Quantity {
 public:
  // A line of the table.
  struct Line {
    std::string_view name;  // as users and files type it
    Combination (*combination)(double alpha, double sigma);
    double (*loss_weight)(double alpha, double sigma);  // of its squared error in training
  };

  // line: of the table, or a program's own; it must live as long as the quantity.
  explicit Quantity(const Line* line) : line_(line) {}

  static Quantity epsilon();
  static Quantity x0();
  static Quantity v();
  static Quantity score();
  static Quantity flow();
  static std::vector<Quantity> all();  // in the table's order

  std::string_view name() const { return line_->name; }
  // sigma must be above 0 for the score.
  Combination combination(double alpha, double sigma) const { return line_->combination(alpha, sigma); }
  double loss_weight(double alpha, double sigma) const { return line_->loss_weight(alpha, sigma); }
  bool operator==(const Quantity&) const = default;

 private:
  const Line* line_;
};

std::string_view name_of(Quantity quantity);
std::string quantity_names();  // "epsilon, sample, ..."
// `where` (a file or a flag) begins the UserError for a word that names none; it lists those that do.
Quantity quantity_of(std::string_view name, const std::string& where);

// wanted = from_x x + from_given given.
struct Conversion {
  double from_x, from_given;
};

// Whether x and the given quantity determine every other: at alpha = 0, x is eps, and eps or the score tell nothing of
// x0.
bool is_determined(Combination given, double alpha, double sigma);
bool is_determined(Quantity given, double alpha, double sigma);

// At a level with noise, sigma > 0, where `given` determines the rest. Error otherwise.
Conversion conversion(Quantity given, Quantity wanted, double alpha, double sigma);
// The same of any two combinations of x0 and eps.
Conversion conversion(Combination given, Combination wanted, double alpha, double sigma);

}  // namespace ito
