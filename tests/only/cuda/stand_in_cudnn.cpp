// SPDX-License-Identifier: Apache-2.0
// See stand_in_cudnn.h.
#include "tests/only/cuda/stand_in_cudnn.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "kernels/nn/attention.h"
#include "kernels/nn/conv.h"
#include "kernels/seams/cuda/session.h"

namespace ito {
namespace test {
namespace {

struct Thing;
using Handle = std::shared_ptr<Thing>;  // a descriptor is the address of one

struct Thing {
  cudnnBackendDescriptorType_t type{};
  std::map<int, std::vector<char>> values;
  std::map<int, std::vector<Handle>> parts;
  bool final = false;

  template <class T>
  std::vector<T> list(int name) const {
    const std::vector<char>& bytes = values.at(name);
    std::vector<T> out(bytes.size() / sizeof(T));
    memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  template <class T>
  T one(int name) const {
    return list<T>(name).at(0);
  }
  const Thing& part(int name) const { return *parts.at(name).at(0); }
};

Handle& at(cudnnBackendDescriptor_t descriptor) {
  return *static_cast<Handle*>(descriptor);
}

size_t size_of_attribute(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
      return 8;
    default:
      return 4;  // enumerations and floats
  }
}

std::vector<int> run_engines;
int last_attention = 0;
int holds_parts_at = 0;  // images
Stream* current = nullptr;
int handle_object = 0;  // has an address
constexpr int64_t kWorkspace = 1000;

cudnnStatus_t create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* out) {
  auto* handle = new Handle(std::make_shared<Thing>());
  (*handle)->type = type;
  *out = handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t destroy(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Handle*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  Thing& thing = *at(descriptor);
  if (thing.final) return CUDNN_STATUS_BAD_PARAM;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < count; ++i) {
      const Handle& part = at(static_cast<cudnnBackendDescriptor_t const*>(values)[i]);
      if (!part->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
      thing.parts[name].push_back(part);
    }
  } else {
    const char* bytes = static_cast<const char*>(values);
    thing.values[name].assign(bytes, bytes + static_cast<size_t>(count) * size_of_attribute(type));
  }
  return CUDNN_STATUS_SUCCESS;
}

template <class T>
void put(Thing& thing, int name, std::vector<T> values) {
  const char* bytes = reinterpret_cast<const char*>(values.data());
  thing.values[name].assign(bytes, bytes + values.size() * sizeof(T));
}

Handle proposal(int64_t engine_index) {
  Handle engine = std::make_shared<Thing>(), config = std::make_shared<Thing>(), knob = std::make_shared<Thing>();
  put<int64_t>(*engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, {engine_index});
  std::vector<int> notes = {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP};
  if (engine_index == kNotDeterministic) notes.push_back(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  put<int>(*engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, notes);
  const bool cuts = engine_index == kCutsByGrid;
  put<int>(*knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, {cuts ? CUDNN_KNOB_TYPE_STREAM_K : CUDNN_KNOB_TYPE_TILE_SIZE});
  put<int64_t>(*knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, {engine_index + 10});
  config->parts[CUDNN_ATTR_ENGINECFG_ENGINE] = {engine};
  config->parts[CUDNN_ATTR_ENGINECFG_KNOB_CHOICES] = {knob};
  engine->final = config->final = knob->final = true;
  return config;
}

cudnnStatus_t get(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t asked, int64_t* found, void* values) {
  Thing& thing = *at(descriptor);
  if (!thing.final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    const std::vector<Handle>& parts = thing.parts[name];
    for (int64_t i = 0; i < std::min<int64_t>(asked, static_cast<int64_t>(parts.size())); ++i)
      at(static_cast<cudnnBackendDescriptor_t*>(values)[i]) = parts[static_cast<size_t>(i)];
    *found = static_cast<int64_t>(parts.size());
  } else {
    const std::vector<char>& bytes = thing.values[name];
    *found = static_cast<int64_t>(bytes.size() / size_of_attribute(type));
    if (asked) memcpy(values, bytes.data(), static_cast<size_t>(asked) * size_of_attribute(type));
  }
  return CUDNN_STATUS_SUCCESS;
}

const Thing& operation_of(const Thing& engine) {
  return engine.part(CUDNN_ATTR_ENGINE_OPERATION_GRAPH).part(CUDNN_ATTR_OPERATIONGRAPH_OPS);
}

// Of a convolution.
int64_t images_of(const Thing& operation) {
  const bool forward = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  const bool data = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
  return operation
      .part(forward ? CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X
            : data  ? CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX
                    : CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X)
      .list<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)
      .at(0);
}

// A copy of 16 bytes an image, and two tiles of parts of sums for some N.
int64_t workspace_of(int64_t engine, int64_t images) {
  const bool parts = images == holds_parts_at || (engine == kHoldsParts && images % 9 == 1);
  return kWorkspace + 16 * images + (parts ? 2 * 65536 : 0);
}

cudnnStatus_t finalize(cudnnBackendDescriptor_t descriptor) {
  Thing& thing = *at(descriptor);
  if (thing.type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
    const Thing& operation = thing.part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).part(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    const bool attention = operation.type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR;
    for (const int engine :
         {kNotDeterministic, kCutsByGrid, kRefuses, kHoldsParts, kWrong, kBatchChangesBits, kManyChangeBits, kGood})
      if (!attention || (engine != kHoldsParts && engine != kManyChangeBits))  // which are about convolutions
        thing.parts[CUDNN_ATTR_ENGINEHEUR_RESULTS].push_back(proposal(engine));
  }
  if (thing.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    const Thing& engine = thing.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).part(CUDNN_ATTR_ENGINECFG_ENGINE);
    const bool attention = operation_of(engine).type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR;
    const int64_t index = engine.one<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    put<int64_t>(thing, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                 {attention ? 0 : workspace_of(index, images_of(operation_of(engine)))});
    if (index == kRefuses) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  thing.final = true;
  return CUDNN_STATUS_SUCCESS;
}

struct Tensor {
  int64_t id, alignment;
  DType type;
  std::vector<int64_t> dims, strides;
  explicit Tensor(const Thing& thing)
      : id(thing.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        alignment(thing.one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
        type(thing.one<int>(CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_FLOAT ? DType::F32 : DType::BF16),
        dims(thing.list<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)),
        strides(thing.list<int64_t>(CUDNN_ATTR_TENSOR_STRIDES)) {}
  void expect_strides(const std::vector<int64_t>& wanted) const {
    ITO_CHECK(strides == wanted, "stand-in: tensor ", id, " has other strides than its memory");
  }
  void expect_aligned(const void* pointer) const {
    ITO_CHECK(reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) == 0, "stand-in: tensor ", id,
              " is not aligned to ", alignment, " bytes");
  }
};

// The attributes of the three operations lie at one distance from their first.
void run_convolution(const Thing& operation, int64_t engine, const std::map<int64_t, void*>& pointers) {
  const bool forward = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  const bool data = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
  const auto name = [&](int of_forward, int of_data, int of_filter) {
    return forward ? of_forward : data ? of_data : of_filter;
  };
  const Thing& how = operation.part(name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC));
  const Tensor x(
      operation.part(name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X)));
  const Tensor w(
      operation.part(name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW)));
  const Tensor y(
      operation.part(name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY)));
  const auto pre = how.list<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const auto post = how.list<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  const auto stride = how.list<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  const auto as_int = [](int64_t v) { return static_cast<int>(v); };
  const ConvShape s{as_int(x.dims[2]), as_int(x.dims[3]), as_int(x.dims[1]), as_int(w.dims[0]),
                    as_int(w.dims[2]), as_int(w.dims[3]), as_int(stride[0]), as_int(pre[0]),
                    as_int(pre[1]),    as_int(post[0]),   as_int(post[1])};
  const int n = as_int(x.dims[0]);
  ITO_CHECK(how.one<int>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION && stride[0] == stride[1] &&
                w.dims[1] == x.dims[1] && y.dims[0] == n && y.dims[1] == s.k && y.dims[2] == s.out_h() &&
                y.dims[3] == s.out_w(),
            "stand-in: not this library's convolution");
  for (const Tensor* t : {&x, &w, &y}) {
    const int64_t c = t->dims[1], rows = t->dims[2], columns = t->dims[3];
    t->expect_strides({rows * columns * c, 1, columns * c, c});
    t->expect_aligned(pointers.at(t->id));
  }
  void *xp = pointers.at(x.id), *wp = pointers.at(w.id), *yp = pointers.at(y.id);
  ConvEpilogue epilogue;
  if (engine == kWrong) epilogue.scale = 1.1f;
  if (engine == kBatchChangesBits && n > 1) epilogue.scale = 1.0078125f;  // one unit of a bf16
  if (engine == kManyChangeBits && n > kFewImages) epilogue.scale = 1.0078125f;
  if (forward) {
    conv_forward(*current, {yp, y.type}, {xp, x.type}, {wp, w.type}, epilogue, s, n);
  } else if (data) {
    const bool once_more = engine == kWrong;
    conv_backward_data(*current, {xp, x.type}, Write::Set, {yp, y.type}, {wp, w.type}, s, n);
    if (once_more) conv_backward_data(*current, {xp, x.type}, Write::Add, {yp, y.type}, {wp, w.type}, s, n);
  } else {
    ITO_CHECK(n == images_per_chunk() && w.type == DType::F32, "stand-in: a weight gradient of ", n, " images");
    conv_backward_weight(*current, static_cast<float*>(wp), {yp, y.type}, {xp, x.type}, s, n);
    if (engine == kWrong) fill_bytes(*current, wp, 0, sizeof(float));
  }
}

void run_attention(const Thing& operation, int64_t engine, const std::map<int64_t, void*>& pointers) {
  const Tensor q(operation.part(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC));
  const Tensor k(operation.part(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC));
  const Tensor v(operation.part(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC));
  const Tensor out(operation.part(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC));
  const Tensor statistics(operation.part(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC));
  const Tensor scale(operation.part(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC));
  const int64_t heads = q.dims[1], tokens = q.dims[2], width = q.dims[3];
  for (const Tensor* t : {&q, &k, &v, &out}) {
    ITO_CHECK(t->dims == q.dims, "stand-in: tensor ", t->id, " has another shape than the queries");
    t->expect_strides({tokens * heads * width, width, heads * width, 1});
    t->expect_aligned(pointers.at(t->id));
  }
  statistics.expect_strides({heads * tokens, tokens, 1, 1});
  AttentionShape s;
  s.n = static_cast<int>(q.dims[0]);
  s.tokens = static_cast<int>(tokens);
  s.heads = static_cast<int>(heads);
  s.head_dim = static_cast<int>(width);
  s.scale = *static_cast<const float*>(pointers.at(scale.id));
  if (engine == kWrong) s.scale *= 2.0f;
  if (engine == kBatchChangesBits && s.n > 1) s.scale *= 1.01f;
  attention_portable_forward(*current, {pointers.at(out.id), out.type}, static_cast<float*>(pointers.at(statistics.id)),
                             {pointers.at(q.id), q.type}, {pointers.at(k.id), k.type}, {pointers.at(v.id), v.type}, s);
}

cudnnStatus_t execute(cudnnHandle_t, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  const Thing& engine = at(plan)->part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).part(CUDNN_ATTR_ENGINECFG_ENGINE);
  const int64_t index = engine.one<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  if (std::find(run_engines.begin(), run_engines.end(), index) == run_engines.end())
    run_engines.push_back(static_cast<int>(index));
  const auto ids = at(pack)->list<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto addresses = at(pack)->list<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  std::map<int64_t, void*> pointers;
  for (size_t i = 0; i < ids.size(); ++i) pointers[ids[i]] = addresses[i];
  const Thing& operation = operation_of(engine);
  if (operation.type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR) {
    run_attention(operation, index, pointers);
    last_attention = static_cast<int>(index);
    return CUDNN_STATUS_SUCCESS;
  }
  void* workspace = at(pack)->one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  const auto bytes = static_cast<size_t>(workspace_of(index, images_of(operation)));
  fill_bytes(*current, workspace, 0xFF, bytes);  // as a library may, all of it
  run_convolution(operation, index, pointers);
  fill_bytes(*current, workspace, 0xFF, bytes);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t set_stream(cudnnHandle_t, cudaStream_t stream) {
  current = reinterpret_cast<Stream*>(stream);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

const std::vector<int>& stand_in_engines_run() {
  return run_engines;
}
void stand_in_holds_parts_at(int images) {
  holds_parts_at = images;
}
int stand_in_last_attention() {
  return last_attention;
}

}  // namespace test

namespace cuda {

void check_launched(Stream&, const char*) {}

cudaStream_t native_stream(Stream& stream) {
  return reinterpret_cast<cudaStream_t>(&stream);
}

Session* session() {
  static Cudnn api;
  static Session only;
  api.cudnnGetErrorString = [](cudnnStatus_t) { return "stand-in status"; };
  api.cudnnGetLastErrorString = [](char* text, size_t) { text[0] = '\0'; };
  api.cudnnSetStream = test::set_stream;
  api.cudnnBackendCreateDescriptor = test::create;
  api.cudnnBackendDestroyDescriptor = test::destroy;
  api.cudnnBackendSetAttribute = test::set;
  api.cudnnBackendGetAttribute = test::get;
  api.cudnnBackendFinalize = test::finalize;
  api.cudnnBackendExecute = test::execute;
  only.api = &api;
  only.handle = reinterpret_cast<cudnnHandle_t>(&test::handle_object);
  return &only;
}

AllowCallsInCapture::AllowCallsInCapture() = default;
AllowCallsInCapture::~AllowCallsInCapture() = default;

}  // namespace cuda
}  // namespace ito
