// SPDX-License-Identifier: Apache-2.0
// Two ops that change the batch: repeat (N -> 2N) and fold (2N -> N), as a network that is asked twice an image needs.
#pragma once
#include <memory>
#include <string>

#include "engine/program/program.h"
#include "kernels/nn/pointwise.h"

namespace ito::test {

// x twice, one copy after the other; or, with `zeros`, x and then as many zeros. dx = the sum of what both copies get.
class RepeatOp : public Op {
 public:
  RepeatOp(const TensorShape& shape, bool zeros) : shape_(shape), zeros_(zeros) {}
  const char* kind() const override { return "repeat"; }
  void forward(Stream& stream, const OpData& data) override {
    char* y = static_cast<char*>(data.out(0).data);
    copy_on_device(stream, y, data.in(0).data, shape_.bytes());
    if (zeros_)
      fill_bytes(stream, y + shape_.bytes(), 0, shape_.bytes());
    else
      copy_on_device(stream, y + shape_.bytes(), data.in(0).data, shape_.bytes());
  }
  void backward(Stream& stream, const OpData& data) override {
    const DataRef dx = data.din(0);
    if (!dx) return;
    const char* dy = static_cast<const char*>(data.dout(0).data);
    accumulate(stream, dx, data.din_write(0), {dy, shape_.type}, 1.0f, shape_.count());
    if (!zeros_) accumulate(stream, dx, Write::Add, {dy + shape_.bytes(), shape_.type}, 1.0f, shape_.count());
  }

 private:
  TensorShape shape_;  // of x
  bool zeros_;
};

// y = a (first half of x) + b (second half).
class FoldOp : public Op {
 public:
  FoldOp(const TensorShape& shape, float a, float b) : shape_(shape), a_(a), b_(b) {}
  const char* kind() const override { return "fold"; }
  void forward(Stream& stream, const OpData& data) override {
    const char* x = static_cast<const char*>(data.in(0).data);
    accumulate(stream, data.out(0), Write::Set, {x, shape_.type}, a_, shape_.count());
    accumulate(stream, data.out(0), Write::Add, {x + shape_.bytes(), shape_.type}, b_, shape_.count());
  }
  void backward(Stream& stream, const OpData& data) override {
    const DataRef dx = data.din(0);
    if (!dx) return;
    char* at = static_cast<char*>(dx.data);
    accumulate(stream, {at, shape_.type}, data.din_write(0), data.dout(0), a_, shape_.count());
    accumulate(stream, {at + shape_.bytes(), shape_.type}, data.din_write(0), data.dout(0), b_, shape_.count());
  }

 private:
  TensorShape shape_;  // of y
  float a_, b_;
};

inline Value repeat(Program& program, const std::string& name, Value x, bool zeros = false) {
  const TensorShape in = program.info(x);
  TensorShape out = in;
  out.n *= 2;
  return program.add(std::make_unique<RepeatOp>(in, zeros), {name, {x}, out});
}

inline Value fold(Program& program, const std::string& name, Value x, float a, float b) {
  TensorShape out = program.info(x);
  out.n /= 2;
  return program.add(std::make_unique<FoldOp>(out, a, b), {name, {x}, out});
}

}  // namespace ito::test
