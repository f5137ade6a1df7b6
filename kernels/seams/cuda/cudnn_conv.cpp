// SPDX-License-Identifier: Apache-2.0
// cuDNN as a family of runners. A runner's plan for N images is made by the workspace calls, which come before any
// capture.
// Forward: the sum is stored in y's type, then add_epilogue() reads and writes it in place. On bf16 layers that rounds
// twice, an error of one more unit of the sum, as every network built from separate convolution and bias operations
// has; a result in fp32 would not round twice, but few engines have one, and it moves 10 instead of 6 bytes an element.
// Data gradient: into dx, or beside it and then added.
// Weight gradient: fp32 partials, one chunk of images a call, zeros after the last image; bf16 operands are widened
// first, all images at once: no precompiled engine writes fp32 from bf16, and TF32 products of widened bf16 are exact.
#include "kernels/seams/cuda/cudnn_conv.h"

#include "kernels/seams/cuda/conv_plans.h"
#include "kernels/seams/ranges.h"

namespace ito::cuda {
namespace {

char* at(void* base, size_t offset) {
  return static_cast<char*>(base) + offset;
}
const char* at(const void* base, size_t offset) {
  return static_cast<const char*>(base) + offset;
}

ConvKey key_of(const ConvTask& task) {
  if (task.direction != Direction::Weight) return {task.shape, task.direction, task.type, false};
  return {task.shape, task.direction, DType::F32, task.type == DType::BF16};
}

class CudnnRunner : public ConvRunner {
 public:
  CudnnRunner(std::string layer, const ConvTask& task, std::shared_ptr<DirectionPlans> plans)
      : layer_(std::move(layer)), task_(task), plans_(std::move(plans)) {}
  std::string name() const override { return plans_->name(); }

 protected:
  std::string layer_;
  ConvTask task_;
  std::shared_ptr<DirectionPlans> plans_;
};

class ForwardRunner : public CudnnRunner {
 public:
  using CudnnRunner::CudnnRunner;
  size_t workspace(int n) override { return plans_->workspace(layer_, n); }
  void run(Stream& stream, const ConvCall& call) override {
    const ConvShape& s = task_.shape;
    {
      const Range range("conv_forward");
      plans_->run(layer_, stream, call.n, call.x.data, call.filters.data, call.result.data, call.workspace);
    }
    const ConvEpilogue& e = call.epilogue;
    if (e.bias || e.residual || e.scale != 1.0f)
      add_epilogue(stream, call.result, call.result, {e.bias, e.residual, e.scale}, call.n, s.out_h() * s.out_w(), s.k);
  }
};

class DataRunner : public CudnnRunner {
 public:
  using CudnnRunner::CudnnRunner;
  // The gradient that is to be added, then the library's.
  size_t workspace(int n) override { return beside(n) + plans_->workspace(layer_, n); }
  void run(Stream& stream, const ConvCall& call) override {
    ITO_CHECK(call.workspace, "conv ", layer_, ": a data gradient needs a workspace");
    const bool add = call.write == Write::Add;
    const DataRef result = add ? DataRef(call.workspace, task_.type) : call.result;
    {
      const Range range("conv_backward_data");
      plans_->run(layer_, stream, call.n, result.data, call.filters.data, call.dy.data,
                  at(call.workspace, beside(call.n)));
    }
    if (add) accumulate(stream, call.result, Write::Add, result, 1.0f, call.n * x_elements(task_.shape));
  }

 private:
  size_t beside(int n) const { return aligned(n * size_of(task_.type) * x_elements(task_.shape)); }
};

class WeightRunner : public CudnnRunner {
 public:
  using CudnnRunner::CudnnRunner;
  // The partials, then the copies of x and dy, then the library's.
  size_t workspace(int n) override {
    const ConvShape& s = task_.shape;
    return aligned(weight_partials_bytes(s, n)) + copy_bytes(n, x_elements(s)) + copy_bytes(n, y_elements(s)) +
           plans_->workspace(layer_, images_per_chunk());
  }
  void run(Stream& stream, const ConvCall& call) override {
    const ConvShape& s = task_.shape;
    const int chunk = images_per_chunk(), n = call.n;
    const int64_t x_count = x_elements(s), y_count = y_elements(s);
    join_weight_partials(stream, s, call, [&](float* partial) {
      const Range range("conv_backward_weight");
      char* x_copy = at(call.workspace, aligned(weight_partials_bytes(s, n)));
      char* dy_copy = x_copy + copy_bytes(n, x_count);
      char* library = dy_copy + copy_bytes(n, y_count);
      copy_images(stream, x_copy, call.x.data, n, x_count);
      copy_images(stream, dy_copy, call.dy.data, n, y_count);
      for (int first = 0; first < n; first += chunk, partial += s.weights())
        plans_->run(layer_, stream, chunk, chunk_images(call.x.data, x_copy, first, n, x_count), partial,
                    chunk_images(call.dy.data, dy_copy, first, n, y_count), library);
    });
  }

 private:
  // Images that are not the library's as they are stand in fp32 behind one another: all of bf16, of fp32 a last chunk
  // that is not full. Zeros fill it up.
  int copied_images(int n) const {
    const int chunk = images_per_chunk(), chunks = static_cast<int>(ceil_div(n, chunk));
    if (task_.type == DType::BF16) return chunks * chunk;
    return n % chunk ? chunk : 0;
  }
  size_t copy_bytes(int n, int64_t count) const { return aligned(sizeof(float) * copied_images(n) * count); }

  void copy_images(Stream& stream, void* copy, const void* images, int n, int64_t count) const {
    const int copied = copied_images(n);
    if (!copied) return;
    const int chunk = images_per_chunk(), first = task_.type == DType::BF16 ? 0 : n / chunk * chunk, have = n - first;
    const char* from = at(images, size_of(task_.type) * first * count);
    if (task_.type == DType::F32)
      copy_on_device(stream, copy, from, sizeof(float) * have * count);
    else
      convert(stream, {copy, DType::F32}, {from, task_.type}, have * count);
    fill_bytes(stream, at(copy, sizeof(float) * have * count), 0, sizeof(float) * (copied - have) * count);
  }
  // Where the chunk that begins with image `first` is.
  const void* chunk_images(const void* images, const void* copy, int first, int n, int64_t count) const {
    if (task_.type == DType::BF16) return at(copy, sizeof(float) * first * count);
    return n - first < images_per_chunk() ? copy : at(images, sizeof(float) * first * count);
  }
};

std::unique_ptr<ConvRunner> make(const std::string& layer, const ConvTask& task, const std::string& name) {
  std::shared_ptr<DirectionPlans> plans = direction_plans(key_of(task), name);
  if (!plans) return nullptr;
  if (task.direction == Direction::Forward) return std::make_unique<ForwardRunner>(layer, task, std::move(plans));
  if (task.direction == Direction::Data) return std::make_unique<DataRunner>(layer, task, std::move(plans));
  return std::make_unique<WeightRunner>(layer, task, std::move(plans));
}

}  // namespace

const ConvFamily kCudnnConv{
    .name = "cudnn",
    .tried = true,
    .proposals = [](const ConvTask& task) { return engine_names(key_of(task)); },
    .make = make,
};

}  // namespace ito::cuda
