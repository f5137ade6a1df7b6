// SPDX-License-Identifier: Apache-2.0
// Attention on the cpu: for a block of query rows of one head, the softmax between two oneDNN products,
//   P = softmax(scale Q K^T), out = P V; backward: dP = dout V^T, dS = scale P (dP - rowsum(dout out)),
//   dV = P^T dout, dQ = dS K, dK = dS^T Q.
// The blocks are a function of the shape without the batch. P and dS are fp32 in the softmax and have the storage type
// in the products. dV and dK add up over blocks in order, in fp32.
// Against the portable kernel (one Zen 5 core, forward / backward, us a batch): fp32, 8 images of 49 tokens, one head
// of 64: 56 / 106 (1153 / 3109); 4 images of 256 tokens: 430 / 795 (9817 / 27036); bf16: 351 / 588 (9812 / 27786).
#include "kernels/seams/attention.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "dialect.h"
#include "kernels/seams/cpu/gemm_plan.h"
#include "kernels/seams/host/stream.h"

namespace ito {
namespace {

using onednn::Call;

constexpr int kBlockRows = 64;  // of queries: enough for the library's kernels, few enough to stay in cache

// The products of a block of `rows` queries.
struct BlockCalls {
  Call scores, out;  // forward; the backward makes the scores anew
  Call dp, dq, dk_set, dk_add, dv_set, dv_add;
};

struct Plan {
  int tokens, heads, width;  // width: of a head
  int64_t row;               // elements between tokens
  int64_t pitch;             // floats between rows of scores
  float scale;
  DType type;
  int blocks;
  bool sums_apart;  // dk and dv add up in fp32 scratch, (tokens, width) each
  BlockCalls full, last;

  BlockCalls& block(int b) { return b + 1 == blocks ? last : full; }
  int rows(int b) const { return std::min(kBlockRows, tokens - b * kBlockRows); }
  int64_t scores() const { return std::min(kBlockRows, tokens) * pitch; }
};

void plan_block(Plan& p, BlockCalls& calls, int rows) {
  const DType sums = p.sums_apart ? DType::F32 : p.type;
  const int64_t sums_row = p.sums_apart ? p.width : p.row;
  const auto product = [&](int m, int n, int k, bool ta, bool tb, int64_t lda, int64_t ldb, int64_t ldc, float alpha,
                           DType c, Write write) {
    GemmShape s;
    s.m = m, s.n = n, s.k = k, s.transpose_a = ta, s.transpose_b = tb;
    s.lda = lda, s.ldb = ldb, s.ldc = ldc, s.alpha = alpha;
    return onednn::plan_product(s, p.type, p.type, c, write);
  };
  calls.scores = product(rows, p.tokens, p.width, false, true, p.row, p.row, p.pitch, p.scale, DType::F32, Write::Set);
  calls.out = product(rows, p.width, p.tokens, false, false, p.pitch, p.row, p.row, 1.0f, p.type, Write::Set);
  calls.dp = product(rows, p.tokens, p.width, false, true, p.row, p.row, p.pitch, 1.0f, DType::F32, Write::Set);
  calls.dq = product(rows, p.width, p.tokens, false, false, p.pitch, p.row, p.row, 1.0f, p.type, Write::Set);
  for (auto [call, write] : {std::pair{&calls.dk_set, Write::Set},
                             {&calls.dv_set, Write::Set},
                             {&calls.dk_add, Write::Add},
                             {&calls.dv_add, Write::Add}})
    *call = product(p.tokens, p.width, rows, true, false, p.pitch, p.row, sums_row, 1.0f, sums, write);
}

using Key = std::tuple<int, int, int, float, DType>;

// Plans by shape, made once; they hold memory objects a worker, so calls run one after another.
struct Plans {
  std::mutex mutex;
  std::map<Key, Plan> plans;

  Plan& find(const AttentionShape& s, DType type) {
    const Key key{s.tokens, s.heads, s.head_dim, s.scale, type};
    auto found = plans.find(key);
    if (found == plans.end()) {
      // Kept only once it is whole: the library may have no product of this shape.
      Plan p{s.tokens,
             s.heads,
             s.head_dim,
             int64_t{1} * s.heads * s.head_dim,
             ceil_div(s.tokens, 16) * 16,
             s.scale,
             type,
             static_cast<int>(ceil_div(s.tokens, kBlockRows)),
             false,
             {},
             {}};
      p.sums_apart = type == DType::BF16 && p.blocks > 1;
      plan_block(p, p.full, p.rows(0));
      plan_block(p, p.last, p.rows(p.blocks - 1));
      found = plans.emplace(key, std::move(p)).first;
    }
    Plan& p = found->second;
    for (BlockCalls* c : {&p.full, &p.last})
      for (Call* call : {&c->scores, &c->out, &c->dp, &c->dq, &c->dk_set, &c->dk_add, &c->dv_set, &c->dv_add})
        call->prepare(device_threads());
    return p;
  }
};

Plans& plans() {
  static Plans* plans = new Plans;
  return *plans;
}

float row_max(const float* row, int count) {
  float lane[16];
  for (int v = 0; v < 16; ++v) lane[v] = row[0];
  int j = 0;
  for (; j + 16 <= count; j += 16)
    for (int v = 0; v < 16; ++v) lane[v] = row[j + v] > lane[v] ? row[j + v] : lane[v];
  for (; j < count; ++j) lane[0] = row[j] > lane[0] ? row[j] : lane[0];
  for (int v = 1; v < 16; ++v) lane[0] = lane[v] > lane[0] ? lane[v] : lane[0];
  return lane[0];
}

float row_sum(const float* row, int count) {
  Lanes16 lanes;
  int j = 0;
  for (; j + 16 <= count; j += 16)
    for (int v = 0; v < 16; ++v) lanes.lane[v] += row[j + v];
  for (int v = 0; j < count; ++j, ++v) lanes.lane[v] += row[j];
  return lanes.total();
}

template <class T>
float row_dot(const T* __restrict a, const T* __restrict b, int count) {
  Lanes16 lanes;
  int j = 0;
  for (; j + 16 <= count; j += 16)
    for (int v = 0; v < 16; ++v) lanes.lane[v] = fmaf(to_float(a[j + v]), to_float(b[j + v]), lanes.lane[v]);
  for (int v = 0; j < count; ++j, ++v) lanes.lane[v] = fmaf(to_float(a[j]), to_float(b[j]), lanes.lane[v]);
  return lanes.total();
}

// p[j] = e^(row[j] - top).
void exponentials(float* __restrict row, float top, int count) {
  for (int j = 0; j < count; ++j) row[j] = fast_exp(row[j] - top);
}

// to = factor * from in the storage type. fp32 may be in place: one loop reads and writes an element at a time.
template <class T>
void store_row(T* to, const float* from, float factor, int count) {
#pragma GCC ivdep
  for (int j = 0; j < count; ++j) to[j] = from_float<T>(factor * from[j]);
}

// The worker's scratch: two score blocks in fp32, two in T (the same memory when T is fp32), the two sums.
template <class T>
struct Rows {
  float *p, *ds, *dk, *dv;
  T *p_stored, *ds_stored;
  explicit Rows(const Plan& plan) {
    const int64_t scores = plan.scores(), sums = plan.sums_apart ? int64_t{1} * plan.tokens * plan.width : 0;
    const int64_t stored = std::is_same_v<T, float> ? 0 : scores;
    char* memory = static_cast<char*>(onednn::thread_scratch(
        onednn::Scratch::Attention, sizeof(float) * 2 * (scores + sums) + sizeof(T) * 2 * stored));
    p = reinterpret_cast<float*>(memory);
    ds = p + scores;
    dk = ds + scores;
    dv = dk + sums;
    p_stored = stored ? reinterpret_cast<T*>(dv + sums) : reinterpret_cast<T*>(p);
    ds_stored = stored ? p_stored + stored : reinterpret_cast<T*>(ds);
  }
};

template <class T>
void forward(Plan& plan, T* out, float* lse, const T* q, const T* k, const T* v, int n) {
  const int64_t image = int64_t{1} * plan.tokens * plan.row;
  onednn::parallel_items(int64_t{1} * n * plan.heads * plan.blocks, [&](int64_t item, int worker) {
    const int b = static_cast<int>(item % plan.blocks);
    const int64_t head = item / plan.blocks, rows = plan.rows(b), first = int64_t{1} * b * kBlockRows;
    const int64_t base = head / plan.heads * image + head % plan.heads * plan.width, query = base + first * plan.row;
    BlockCalls& calls = plan.block(b);
    const Rows<T> scratch(plan);
    calls.scores.run(worker, {q + query, k + base, scratch.p});
    for (int64_t i = 0; i < rows; ++i) {
      float* row = scratch.p + i * plan.pitch;
      const float top = row_max(row, plan.tokens);
      exponentials(row, top, plan.tokens);
      const float sum = row_sum(row, plan.tokens);
      store_row(scratch.p_stored + i * plan.pitch, row, 1.0f / sum, plan.tokens);
      lse[head * plan.tokens + first + i] = top + fast_log(sum);
    }
    calls.out.run(worker, {scratch.p_stored, v + base, out + query});
  });
}

template <class T>
void backward(Plan& plan, T* dq, T* dk, T* dv, const T* dout, const T* out, const float* lse, const T* q, const T* k,
              const T* v, int n) {
  const int64_t image = int64_t{1} * plan.tokens * plan.row;
  onednn::parallel_items(int64_t{1} * n * plan.heads, [&](int64_t head, int worker) {
    const int64_t base = head / plan.heads * image + head % plan.heads * plan.width;
    const Rows<T> scratch(plan);
    const void* dk_sum = plan.sums_apart ? static_cast<const void*>(scratch.dk) : dk + base;
    const void* dv_sum = plan.sums_apart ? static_cast<const void*>(scratch.dv) : dv + base;
    for (int b = 0; b < plan.blocks; ++b) {
      const int64_t first = int64_t{1} * b * kBlockRows, query = base + first * plan.row;
      BlockCalls& calls = plan.block(b);
      calls.scores.run(worker, {q + query, k + base, scratch.p});
      calls.dp.run(worker, {dout + query, v + base, scratch.ds});
      for (int64_t i = 0; i < plan.rows(b); ++i) {
        float* p = scratch.p + i * plan.pitch;
        float* ds = scratch.ds + i * plan.pitch;
        exponentials(p, lse[head * plan.tokens + first + i], plan.tokens);
        const float delta = row_dot(dout + query + i * plan.row, out + query + i * plan.row, plan.width);
        for (int j = 0; j < plan.tokens; ++j) ds[j] = p[j] * (ds[j] - delta);
        store_row(scratch.p_stored + i * plan.pitch, p, 1.0f, plan.tokens);
        store_row(scratch.ds_stored + i * plan.pitch, ds, plan.scale, plan.tokens);
      }
      (b ? calls.dv_add : calls.dv_set).run(worker, {scratch.p_stored, dout + query, dv_sum});
      (b ? calls.dk_add : calls.dk_set).run(worker, {scratch.ds_stored, q + query, dk_sum});
      calls.dq.run(worker, {scratch.ds_stored, k + base, dq + query});
    }
    for (int64_t t = 0; plan.sums_apart && t < plan.tokens; ++t) {
      store_row(dk + base + t * plan.row, scratch.dk + t * plan.width, 1.0f, plan.width);
      store_row(dv + base + t * plan.row, scratch.dv + t * plan.width, 1.0f, plan.width);
    }
  });
}

void check(const AttentionShape& s) {
  ITO_CHECK(s.n > 0 && s.tokens > 0 && s.heads > 0 && s.head_dim > 0, "attention: n ", s.n, ", tokens ", s.tokens,
            ", heads ", s.heads, ", head_dim ", s.head_dim, "; all must be positive");
  ITO_CHECK(s.head_dim <= kMaxHeadDim, "attention: head_dim ", s.head_dim, ", expected at most ", kMaxHeadDim);
}

}  // namespace

// Scores stay in the threads' own scratch.
KernelChoices attention_choices(const AttentionShape&, DType, bool) {
  return {};
}
std::vector<KernelTiming> time_attention_choices(const AttentionShape&, DType, bool) {
  return {};
}

size_t attention_forward_workspace(const AttentionShape&, DType) {
  return 0;
}
size_t attention_backward_workspace(const AttentionShape&, DType) {
  return 0;
}

void attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                       const AttentionShape& shape, void*) {
  check(shape);
  by_type(out.type, [&](auto t) {
    using T = decltype(t);
    submit(stream, "attention_forward", [=, to = out.as<T>(), q = q.as<T>(), k = k.as<T>(), v = v.as<T>()] {
      const std::lock_guard lock(plans().mutex);
      forward<T>(plans().find(shape, dtype_of<T>), to, lse, q, k, v, shape.n);
    });
  });
}

void attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                        const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v, const AttentionShape& shape,
                        void*) {
  check(shape);
  by_type(out.type, [&](auto t) {
    using T = decltype(t);
    submit(stream, "attention_backward",
           [=, dq = dq.as<T>(), dk = dk.as<T>(), dv = dv.as<T>(), dout = dout.as<T>(), out = out.as<T>(), q = q.as<T>(),
            k = k.as<T>(), v = v.as<T>()] {
             const std::lock_guard lock(plans().mutex);
             backward<T>(plans().find(shape, dtype_of<T>), dq, dk, dv, dout, out, lse, q, k, v, shape.n);
           });
  });
}

}  // namespace ito
