// SPDX-License-Identifier: Apache-2.0
// What can run a direction of a convolution layer where threads come in warps of 32 (a GPU, sim): a library's engine,
// our own kernels. A family of runners proposes names for a task; a layer takes one a direction (conv_layer.cpp), and
// from then on knows nothing but this interface.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/nn/fold_tree.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/conv.h"
#include "kernels/seams/lanes/runner_refused.h"

namespace ito {

enum class ConvDirection : uint8_t { Forward, Data, Weight };
const char* name_of(ConvDirection direction);

// What a choice depends on: never the number of images, or an image's bits would know their batch.
struct ConvTask {
  ConvShape shape;
  ConvDirection direction = ConvDirection::Forward;
  DType type = DType::F32;  // of the activations
};
// "forward 32x32x128 to 128, filters 3x3, stride 1, padding 1 1 1 1, bf16"; one to one, the key of a kernel table.
std::string text_of(const ConvTask& task);

// One call. Of the pointers those are set that the direction needs.
struct ConvCall {
  ConstDataRef x = {}, dy = {}, filters = {};
  DataRef result = {};                         // y of a forward, dx of a data gradient
  ConvEpilogue epilogue = {};                  // of a forward
  Write write = Write::Set;                    // of a data gradient
  NormBefore norm = {};                        // of a data gradient that takes one in
  float *dweight = nullptr, *dbias = nullptr;  // (K, R, S, C), (K) or null: set
  int n = 0;
  void* workspace = nullptr;
};

class ConvRunner {
 public:
  virtual ~ConvRunner() = default;
  virtual std::string name() const = 0;  // "family" or "family:which", what a kernel table holds
  // The filters it reads are (K, R, S, C') in the layer's type, C' the next multiple of this; zeros behind C.
  virtual int channel_multiple() const { return 1; }
  virtual int moment_rows() const { return 0; }  // as ConvLayer's, of a forward
  virtual int norm_rows() const { return 0; }    // likewise, of a data gradient
  virtual size_t workspace(int n) = 0;           // bytes; asked for before any capture
  virtual void run(Stream& stream, const ConvCall& call) = 0;
};

struct ConvFamily {
  const char* name;
  bool tried = true;        // a runner must pass its trial before a layer depends on it
  bool on_request = false;  // only a kernel table takes it, and whoever makes one times it
  // Names for the task, best first; none where the family does not take it. Throws RunnerRefused.
  std::vector<std::string> (*proposals)(const ConvTask& task);
  // null: there is none of this name for the task. layer: for errors.
  std::unique_ptr<ConvRunner> (*make)(const std::string& layer, const ConvTask& task, const std::string& name);
};

// The device library's, in the order in which a task without a line in a kernel table takes them; the last takes all.
std::span<const ConvFamily* const> conv_families(const ConvTask& task);

extern const ConvFamily kPortableConv;

// What every runner of a weight gradient ends with: `make_partials(float*)` sets one partial of the filters a chunk of
// images, which are joined, and dbias is summed.
size_t weight_partials_bytes(const ConvShape& shape, int n);
template <class MakePartials>
void join_weight_partials(Stream& stream, const ConvShape& shape, const ConvCall& call,
                          const MakePartials& make_partials) {
  const int64_t chunks = ceil_div(call.n, images_per_chunk());
  float* partial = static_cast<float*>(call.workspace);
  make_partials(partial);
  fold_tree(stream, call.dweight, partial, chunks, 1, shape.weights());
  if (call.dbias)
    sum_rows(stream, call.dbias, call.dy, partial + chunks * shape.weights(), call.n, shape.out_h() * shape.out_w(),
             shape.k);
}

// Images of a usual batch: what a library's heuristics are asked about, and what is timed.
inline int usual_images() {
  return 4 * images_per_chunk();
}

inline int padded_channels(const ConvShape& s, int multiple) {
  return static_cast<int>(ceil_div(s.c, multiple)) * multiple;
}
inline int64_t filter_elements(const ConvShape& s, int multiple) {
  return int64_t{1} * s.k * s.r * s.s * padded_channels(s, multiple);
}

inline int64_t x_elements(const ConvShape& s) {  // of an image
  return int64_t{1} * s.h * s.w * s.c;
}
inline int64_t y_elements(const ConvShape& s) {
  return int64_t{1} * s.out_h() * s.out_w() * s.k;
}

}  // namespace ito
