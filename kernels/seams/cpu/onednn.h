// SPDX-License-Identifier: Apache-2.0
// What the cpu seams share of oneDNN. The rule that keeps bits: a primitive is made for one thread and executed inside
// an OpenMP region, where the library runs serially; the work is cut by us, as a function of the layer alone.
#pragma once
#include <omp.h>

#include <dnnl.hpp>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "kernels/seams/cpu/shares.h"
#include "kernels/seams/device.h"

namespace ito::onednn {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Dims = dnnl::memory::dims;

dnnl::engine& engine();
dnnl::stream& stream();  // the calling thread's
inline dnnl::memory::data_type data_type(DType type) {
  return type == DType::F32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

// The calling thread's scratch memory, at least that many bytes, 64-byte aligned: the library's scratchpad, images,
// the rows of a softmax, and transformed tiles.
enum class Scratch { Library, X, Dy, Attention, Winograd };
void* thread_scratch(Scratch which, size_t bytes);

// While it lives, OpenMP regions of the calling thread have one thread: around the making of primitives, and inside
// our regions (a region of one thread does not count as parallel, and the library would open its own).
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// Attributes every primitive is made with: scratchpads are ours, one a thread.
dnnl::primitive_attr attributes();

// A primitive with its memory objects, made once for each worker: a call only sets addresses.
class Call {
 public:
  struct Operand {
    int arg;  // DNNL_ARG_...
    Desc desc;
  };
  Call() = default;
  template <class PrimitiveDesc, class Primitive>
  Call(const PrimitiveDesc& pd, const Primitive& primitive, std::vector<Operand> operands)
      : primitive_(primitive),
        name_(pd.impl_info_str()),
        scratchpad_(pd.scratchpad_desc()),
        operands_(std::move(operands)),
        fixed_(operands_.size(), nullptr) {}
  explicit operator bool() const { return !operands_.empty(); }
  const std::string& name() const { return name_; }

  // An operand all workers read at this address (packed filters); run() takes null in its place.
  void fix(size_t operand, void* data);
  // Makes room for workers [0, count). Outside parallel regions only.
  void prepare(int count);
  void run(int worker, std::initializer_list<const void*> data);

 private:
  struct Worker {
    std::vector<dnnl::memory> memory;  // one an operand, the scratchpad last
    std::vector<const void*> address;
  };
  dnnl::primitive primitive_;
  std::string name_;
  Desc scratchpad_;
  std::vector<Operand> operands_;
  std::vector<void*> fixed_;
  std::vector<Worker> workers_;
};

// Calls f(i, worker) for i in [0, count) on device_threads() workers (cpu/shares.h).
template <class F>
void parallel_items(int64_t count, const F& f) {
  if (count <= 0) return;
  const int threads = static_cast<int>(std::min<int64_t>(count, device_threads()));
  cpu::for_pieces(count, threads, [&](int64_t i, int worker) {
    const OneThread one;
    f(i, worker);
  });
}

}  // namespace ito::onednn
