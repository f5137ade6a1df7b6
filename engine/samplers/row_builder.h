// SPDX-License-Identifier: Apache-2.0
// Writes a sampler's table in the papers' words. call() opens a row at a level; state() and set() begin one of its
// writes; the words after that add terms to the write:
//   rows.call(from).set(start).x(1).state().x(1).eps(h);            // start' = x, x' = x + h eps
// Every term is an old value, so the order of a row's writes means nothing. What a device could not show is refused
// here: a register read before an earlier row wrote it, a fourth write, two writes to one place, a number that is not
// finite. The builder fills in which registers a row reads, which draw is its own and the next input's scale.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/diffusion/reading.h"
#include "kernels/diffusion/reverse_row.h"

namespace ito {

// A sampler's rows, and what they need around them.
struct ReverseTable {
  std::vector<ReverseRow> rows;
  int registers = 0;                 // fp32 copies of the images
  int draws = 0;                     // z counted by the rows, drawn or not
  double start_scale = 1;            // the first state is this times a standard normal
  double opening_noise = 0;          // the part of start_scale that the rule has in a draw of its own, draw 0
  double first_input_scale = 1;      // and the network's copy of it is this times the state
  std::vector<RowOf<double>> exact;  // the rows before they were rounded to fp32, which hides orders above the third
};

// What happens to every x0 estimate: nothing, a clip to +-range, or dynamic thresholding in its place (Saharia et al.
// 2022): a clip to +-q and a division by q, q the image's own quantile of |x0|, at least 1 and at most `most`.
struct Clipping {
  double range = 0;     // 0: none
  double quantile = 0;  // 0: no thresholding
  double most = 1;      // of q

  bool any() const { return range > 0 || quantile > 0; }
};

// A copy of the images that rows write and later rows read.
class Register {
  friend class RowBuilder;
  int number_ = -1;
};

class RowBuilder {
 public:
  RowBuilder(const Reading& reading, Space space, const Clipping& clip = {})
      : reading_(reading), space_(space), clip_(clip) {}

  Register reserve();
  Register reserve_given();  // one that a hook fills before every row's update
  void start_at(double scale) { start_scale_ = scale; }
  // The rule adds noise to the first state before the first call, and counts that draw. State and noise are both
  // normal, so a run starts with one draw of their joint size.
  void add_opening_noise(double weight);

  // Opens a row: the network is called at the level, and its answer read there.
  RowBuilder& call(const Level& level) { return call(level, level); }
  // The same of a network that is told another level than the one its answer is read at.
  RowBuilder& call(const Level& level, const Level& told);
  bool clips() const { return clip_.any(); }  // x0 estimates are not the network's alone
  // The row's eps follows from its x0 estimate after the clip, not from the network's answer alone.
  RowBuilder& eps_from_clipped_x0();
  // A step of a Langevin corrector: the row's eps and z are weighed by factors that the device finds from the image's
  // norms (kernels/diffusion/gauge.h).
  RowBuilder& langevin(double signal_to_noise, double alpha);
  // The row's z is scaled by a standard deviation that the network chooses between these two variances.
  RowBuilder& learned_variance(double log_high, double log_low);

  RowBuilder& state() { return begin(kState); }
  RowBuilder& set(Register target);

  RowBuilder& x(double weight) { return add(kX, weight); }
  RowBuilder& x0(double weight) { return add(kX0, weight); }
  RowBuilder& eps(double weight) { return add(kEps, weight); }
  RowBuilder& pred(double weight) { return add(kPred, weight); }
  RowBuilder& reg(Register source, double weight);
  // All writes of a row share its one z. A weight of 0 counts the draw and draws nothing.
  RowBuilder& noise(double weight);
  // For a row whose rule draws without using it: later rows keep the draws that the rule would give them.
  RowBuilder& skip_draw();

  ReverseTable table();

 private:
  RowBuilder& begin(int to);
  RowBuilder& add(int source, double weight);
  RowOf<double>& row();  // the open one
  void check_register(Register r) const;
  void close();

  Reading reading_;
  Space space_;
  Clipping clip_;
  ReverseTable table_;  // without its rows, which are made of `exact` in the end
  double start_scale_ = 1, opening_noise_ = 0;
  Conversion eps_from_x0_{};  // of the open row
  uint32_t written_ = 0;      // bit r: an earlier row wrote register r
  bool counted_ = false;      // the open row has its draw
};

// The last K values of an estimate, newest first: past[1] is the newest kept. A row that keeps one more overwrites the
// oldest, which it may still read.
template <int K>
class History {
 public:
  explicit History(RowBuilder& rows) : rows_(rows) {
    for (Register& slot : slots_) slot = rows.reserve();
  }
  int size() const { return kept_ < K ? kept_ : K; }
  Register operator[](int age) const {
    ITO_CHECK(age >= 1 && age <= size(), "history: value ", age, " of ", size(), " kept");
    return slots_[(kept_ - age) % K];
  }
  void keep_x0() { rows_.set(next()).x0(1); }
  void keep_eps() { rows_.set(next()).eps(1); }
  void keep_pred() { rows_.set(next()).pred(1); }

 private:
  Register next() { return slots_[kept_++ % K]; }

  RowBuilder& rows_;
  Register slots_[K];
  int kept_ = 0;
};

}  // namespace ito
