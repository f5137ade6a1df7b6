// SPDX-License-Identifier: Apache-2.0
// The exact answer of a Gaussian mixture as an op. Its tables are constants, not parameters: nobody trains them, they
// are wanted in double, and the file that defines the mixture is the one place where they stand. They go to the device
// with the packed weights. Saves the sample and the level.
#include "kernels/diffusion/mixture.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class MixtureOp : public Op {
 public:
  MixtureOp(const MixtureShape& shape, MixtureConstants constants) : shape_(shape), constants_(std::move(constants)) {}

  const char* kind() const override { return "mixture"; }
  size_t packed_bytes() const override {
    return sizeof(double) * (constants_.log_weights.size() + constants_.means.size() + constants_.variances.size());
  }
  void pack(Stream& stream, const OpData& data) override {
    auto* to = static_cast<double*>(data.packed());
    for (const std::vector<double>* part : {&constants_.log_weights, &constants_.means, &constants_.variances}) {
      copy_to_device(stream, to, part->data(), part->size() * sizeof(double));
      to += part->size();
    }
  }
  void forward(Stream& stream, const OpData& data) override {
    mixture_eps(stream, data.out(0), data.in(0), data.in(1).as<float>(), tables(data), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      mixture_eps_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), data.in(1).as<float>(),
                           tables(data), shape_);
  }

 private:
  MixtureTables tables(const OpData& data) const {
    const auto* first = static_cast<const double*>(data.packed());
    const double* means = first + constants_.log_weights.size();
    return {.log_weights = first, .means = means, .variances = means + constants_.means.size()};
  }

  MixtureShape shape_;
  MixtureConstants constants_;
};

}  // namespace

Value gaussian_mixture(Program& program, const std::string& name, Value sample, Value level,
                       const MixtureConstants& constants) {
  const ValueInfo in = program.info(sample);
  const size_t components = constants.log_weights.size(), numbers = components * static_cast<size_t>(in.row());
  ITO_CHECK(level && program.info(level).c == kLevelWidth && program.info(level).n == in.n, name,
            ": expected the alpha and the sigma of ", in.n, " images");
  ITO_CHECK(constants.means.size() == numbers && constants.variances.size() == numbers, name, ": ",
            constants.means.size(), " means and ", constants.variances.size(), " variances of ", components,
            " components, expected ", numbers);
  const MixtureShape shape{.n = in.n, .components = static_cast<int>(components), .size = in.row()};
  return program.add(std::make_unique<MixtureOp>(shape, constants), {name, {sample, level}, in, {sample, level}});
}

}  // namespace ito
