// SPDX-License-Identifier: Apache-2.0
// The exact answer of a Gaussian mixture as an op. Its tables are constants, not parameters: nobody trains them, they
// are wanted in double, and the file that defines the mixture is the one place where they stand. They go to the device
// with the packed weights. Saves the sample, the level and the labels.
#include "kernels/diffusion/mixture.h"

#include <algorithm>

#include "engine/ops/ops.h"

namespace ito {
namespace {

class MixtureOp : public Op {
 public:
  MixtureOp(const MixtureShape& shape, MixtureConstants constants) : shape_(shape), constants_(std::move(constants)) {}

  const char* kind() const override { return "mixture"; }
  size_t packed_bytes() const override {
    return sizeof(double) * (constants_.log_weights.size() + constants_.means.size() + constants_.variances.size()) +
           sizeof(int32_t) * constants_.classes.size();
  }
  void pack(Stream& stream, const OpData& data) override {
    auto* to = static_cast<double*>(data.packed());
    for (const std::vector<double>* part : {&constants_.log_weights, &constants_.means, &constants_.variances}) {
      copy_to_device(stream, to, part->data(), part->size() * sizeof(double));
      to += part->size();
    }
    if (const std::vector<int32_t>& classes = constants_.classes; !classes.empty())
      copy_to_device(stream, to, classes.data(), classes.size() * sizeof(int32_t));
  }
  void forward(Stream& stream, const OpData& data) override {
    mixture_eps(stream, data.out(0), data.in(0), images(data), tables(data), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      mixture_eps_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), images(data), tables(data), shape_);
  }

 private:
  bool labelled() const { return !constants_.classes.empty(); }
  MixtureImages images(const OpData& data) const {
    return {.level = data.in(1).as<float>(), .labels = labelled() ? data.in(2).as<int32_t>() : nullptr};
  }
  MixtureTables tables(const OpData& data) const {
    const auto* first = static_cast<const double*>(data.packed());
    const double* means = first + constants_.log_weights.size();
    const double* variances = means + constants_.means.size();
    MixtureTables tables{.log_weights = first, .means = means, .variances = variances};
    if (labelled()) {
      tables.classes = reinterpret_cast<const int32_t*>(variances + constants_.variances.size());
      tables.class_count = 1 + *std::ranges::max_element(constants_.classes);
    }
    return tables;
  }

  MixtureShape shape_;
  MixtureConstants constants_;
};

}  // namespace

Value gaussian_mixture(Program& program, const std::string& name, Value sample, Value level, Value labels,
                       const MixtureConstants& constants) {
  const ValueInfo in = program.info(sample);
  const size_t components = constants.log_weights.size(), numbers = components * static_cast<size_t>(in.row());
  ITO_CHECK(level && program.info(level).c == kLevelWidth && program.info(level).n == in.n, name,
            ": expected the alpha and the sigma of ", in.n, " images");
  ITO_CHECK(constants.means.size() == numbers && constants.variances.size() == numbers, name, ": ",
            constants.means.size(), " means and ", constants.variances.size(), " variances of ", components,
            " components, expected ", numbers);
  ITO_CHECK(constants.classes.empty() ? !labels : labels && constants.classes.size() == components, name, ": ",
            constants.classes.size(), " classes of ", components, " components");
  const MixtureShape shape{.n = in.n, .components = static_cast<int>(components), .size = in.row()};
  std::vector<Value> inputs{sample, level};
  if (labels) inputs.push_back(labels);
  return program.add(std::make_unique<MixtureOp>(shape, constants), {name, inputs, in, inputs});
}

}  // namespace ito
