// SPDX-License-Identifier: Apache-2.0
// Timestep features and table look-ups, fp32 rows.
#include "kernels/nn/embedding.h"
#include "engine/ops/ops.h"
#include "kernels/diffusion/timestep_embedding.h"

namespace ito {
namespace {

class SinusoidOp : public Op {
 public:
  SinusoidOp(int n, int c, float freq_shift, bool flip) : n_(n), c_(c), freq_shift_(freq_shift), flip_(flip) {}
  const char* kind() const override { return "sinusoid"; }
  void forward(Stream& stream, const OpData& data) override {
    sinusoidal_embedding(stream, data.out(0).as<float>(), data.in(0).as<float>(), n_, c_, freq_shift_, flip_);
  }
  void backward(Stream&, const OpData&) override {}  // t is never differentiated

 private:
  int n_, c_;
  float freq_shift_;
  bool flip_;
};

class FourierOp : public Op {
 public:
  FourierOp(int n, int c, bool flip) : n_(n), c_(c), flip_(flip) {}
  const char* kind() const override { return "fourier"; }
  void forward(Stream& stream, const OpData& data) override {
    fourier_embedding(stream, data.out(0).as<float>(), data.in(0).as<float>(), data.parameter(0), n_, c_, flip_);
  }
  void backward(Stream&, const OpData&) override {}  // its weight is fixed

 private:
  int n_, c_;
  bool flip_;
};

// from_timestep: the input is t in fp32 and becomes the index in workspace; otherwise it is the index itself.
class EmbeddingOp : public Op {
 public:
  EmbeddingOp(int n, int rows, int d, bool from_timestep) : n_(n), rows_(rows), d_(d), from_timestep_(from_timestep) {}
  const char* kind() const override { return "embedding"; }
  size_t forward_workspace() const override { return from_timestep_ ? sizeof(int32_t) * n_ : 0; }
  size_t backward_workspace() const override { return forward_workspace(); }
  void forward(Stream& stream, const OpData& data) override {
    embedding_forward(stream, data.out(0).as<float>(), data.parameter(0), index(stream, data), n_, rows_, d_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (float* dtable = data.dparameter(0))
      embedding_backward(stream, dtable, data.parameter_write(), data.dout(0).as<float>(), index(stream, data), n_,
                         rows_, d_);
  }

 private:
  const int32_t* index(Stream& stream, const OpData& data) const {
    if (!from_timestep_) return static_cast<const int32_t*>(data.in(0).data);
    int32_t* converted = static_cast<int32_t*>(data.workspace());
    timesteps_to_index(stream, converted, data.in(0).as<float>(), n_);
    return converted;
  }

  int n_, rows_, d_;
  bool from_timestep_;
};

Value append(Program& program, std::unique_ptr<Op> op, const std::string& name, Value input, int c) {
  op->name = name;
  op->inputs = {input};
  op->saved = {input};
  const Value y = program.add_value(name, 1, 1, c, DType::F32);
  op->outputs = {y};
  program.add_op(std::move(op));
  return y;
}

Value look_up(Program& program, const std::string& name, Value index, int rows, int d, bool from_timestep) {
  auto op = std::make_unique<EmbeddingOp>(program.options().n, rows, d, from_timestep);
  Parameter table{name + ".weight", ParameterKind::Table, {rows, d}, Initial::Normal};
  op->parameters = {program.add_parameter(table)};
  return append(program, std::move(op), name, index, d);
}

}  // namespace

Value sinusoidal_features(Program& program, const std::string& name, Value t, int c, float freq_shift, bool flip) {
  return append(program, std::make_unique<SinusoidOp>(program.options().n, c, freq_shift, flip), name, t, c);
}

Value fourier_features(Program& program, const std::string& name, Value t, int c, float scale, bool flip) {
  auto op = std::make_unique<FourierOp>(program.options().n, c, flip);
  Parameter weight{name + ".weight", ParameterKind::Vector, {c}, Initial::Normal, 1, scale, false};
  op->parameters = {program.add_parameter(weight)};
  return append(program, std::move(op), name, t, 2 * c);
}

Value learned_features(Program& program, const std::string& name, Value t, int rows, int c) {
  return look_up(program, name, t, rows, c, true);
}

Value embedding(Program& program, const std::string& name, Value index, int rows, int d) {
  return look_up(program, name, index, rows, d, false);
}

}  // namespace ito
