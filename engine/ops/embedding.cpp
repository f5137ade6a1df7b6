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
  bool by_rows() const override { return true; }
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
  bool by_rows() const override { return true; }
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
  bool by_rows() const override { return true; }
  size_t forward_workspace() const override { return from_timestep_ ? sizeof(int32_t) * n_ : 0; }
  size_t backward_workspace() const override { return forward_workspace(); }
  void forward(Stream& stream, const OpData& data) override {
    embedding_forward(stream, data.out(0).as<float>(), data.parameter(0), index(stream, data), n_, rows_, d_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (float* dtable = data.dparameter(0))
      embedding_backward(stream, dtable, data.dout(0).as<float>(), index(stream, data), n_, rows_, d_);
  }

 private:
  const int32_t* index(Stream& stream, const OpData& data) const {
    if (!from_timestep_) return data.in(0).as<int32_t>();
    int32_t* converted = static_cast<int32_t*>(data.workspace());
    timesteps_to_index(stream, converted, data.in(0).as<float>(), n_);
    return converted;
  }

  int n_, rows_, d_;
  bool from_timestep_;
};

OpSpec rows_spec(const Program& program, const std::string& name, Value input, int c) {
  return {name, {input}, {program.info(input).n, 1, 1, c, DType::F32}, {input}};
}

Value look_up(Program& program, const std::string& name, Value index, int rows, int d, bool from_timestep,
              Start start = {Initial::Normal}) {
  OpSpec spec = rows_spec(program, name, index, d);
  spec.parameters = {{name + ".weight", ParameterKind::Table, {rows, d}, start.initial, 1, start.scale}};
  return program.add(std::make_unique<EmbeddingOp>(program.info(index).n, rows, d, from_timestep), std::move(spec));
}

}  // namespace

Value sinusoidal_features(Program& program, const std::string& name, Value t, int c, float freq_shift, bool flip) {
  return program.add(std::make_unique<SinusoidOp>(program.info(t).n, c, freq_shift, flip),
                     rows_spec(program, name, t, c));
}

Value fourier_features(Program& program, const std::string& name, Value t, int c, float scale, bool flip) {
  OpSpec spec = rows_spec(program, name, t, 2 * c);
  spec.parameters = {{name + ".weight", ParameterKind::Vector, {c}, Initial::Normal, 1, scale, false}};
  return program.add(std::make_unique<FourierOp>(program.info(t).n, c, flip), std::move(spec));
}

Value learned_features(Program& program, const std::string& name, Value t, int rows, int c) {
  return look_up(program, name, t, rows, c, true);
}

Value embedding(Program& program, const std::string& name, Value index, int rows, int d, Start start) {
  ITO_CHECK(program.info(index).type == DType::I32, name, ": class numbers expected, got ", program.info(index).name);
  return look_up(program, name, index, rows, d, false, start);
}

}  // namespace ito
