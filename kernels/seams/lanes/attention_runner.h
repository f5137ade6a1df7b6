// SPDX-License-Identifier: Apache-2.0
// What can run a pass of attention where threads come in warps of 32 (a GPU, sim), and which of it a pass takes: as
// lanes/conv_runner.h and conv_choice.h have it for convolutions.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/seams/attention.h"
#include "kernels/seams/lanes/runner_refused.h"

namespace ito {

enum class AttentionPass : uint8_t { Forward, Backward };

// What a choice depends on: never the number of images.
struct AttentionTask {
  AttentionPass pass = AttentionPass::Forward;
  int tokens = 0, heads = 0, head_dim = 0;
  DType type = DType::F32;
};
std::string text_of(const AttentionTask& task);  // "attention forward, 256 tokens, 1 heads of 256, bf16"
AttentionShape shape_of(const AttentionTask& task, int n);

// One call. Of the pointers those are set that the pass needs.
struct AttentionCall {
  DataRef out = {}, dq = {}, dk = {}, dv = {};  // a backward reads out
  ConstDataRef q = {}, k = {}, v = {}, dout = {};
  float* lse = nullptr;  // a backward reads it
  AttentionShape shape = {};
  void* workspace = nullptr;
};

class AttentionRunner {
 public:
  virtual ~AttentionRunner() = default;
  virtual std::string name() const = 0;  // "family" or "family:which"
  virtual size_t workspace(const AttentionShape& shape) = 0;
  virtual void run(Stream& stream, const AttentionCall& call) = 0;
};

struct AttentionFamily {
  const char* name;
  bool tried = true;        // a runner must pass its trial before a layer depends on it
  bool on_request = false;  // only a kernel table takes it, and whoever makes one times it
  std::vector<std::string> (*proposals)(const AttentionTask& task);                              // best first
  std::unique_ptr<AttentionRunner> (*make)(const AttentionTask& task, const std::string& name);  // null: no such one
};
// The device library's, in the order in which a task without a line in a kernel table takes them; the last takes all.
std::span<const AttentionFamily* const> attention_families();

// Matrix products with a row softmax between them, or the portable kernels where scores are too many.
extern const AttentionFamily kProductsAttention;

// Empty if a runner gives the portable kernel's values up to rounding, and an image's bits alone and among others. Else
// why not. Throws RunnerRefused.
std::string try_attention(const AttentionTask& task, AttentionRunner& runner);
double time_attention(const AttentionTask& task, AttentionRunner& runner, int n);  // seconds of a launch

}  // namespace ito
