// SPDX-License-Identifier: Apache-2.0
// Matrix products on the cpu: oneDNN, one call a matrix, or a band of its rows, with our own OpenMP around them.
// Bands are a function of the shape without the batch, so a matrix has the same bits in every batch.
#include "kernels/seams/gemm.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "kernels/seams/cpu/gemm_plan.h"
#include "kernels/seams/host/stream.h"

namespace ito {
namespace onednn {

Call plan_product(const GemmShape& s, DType a, DType b, DType c, Write write) {
  const int64_t lda = s.lda ? s.lda : s.transpose_a ? s.m : s.k;
  const int64_t ldb = s.ldb ? s.ldb : s.transpose_b ? s.k : s.n;
  const int64_t ldc = s.ldc ? s.ldc : s.n;
  const Desc a_desc({s.m, s.k}, data_type(a), s.transpose_a ? Dims{1, lda} : Dims{lda, 1});
  const Desc b_desc({s.k, s.n}, data_type(b), s.transpose_b ? Dims{1, ldb} : Dims{ldb, 1});
  const Desc c_desc({s.m, s.n}, data_type(c), Dims{ldc, 1});
  dnnl::primitive_attr attr = attributes();
  if (s.alpha != 1.0f) attr.set_output_scales(0, {s.alpha});
  if (write == Write::Add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  const OneThread one;
  try {
    const dnnl::matmul::primitive_desc pd({a_desc, b_desc, c_desc}, attr, engine());
    return {pd, dnnl::matmul(pd), {{DNNL_ARG_SRC, a_desc}, {DNNL_ARG_WEIGHTS, b_desc}, {DNNL_ARG_DST, c_desc}}};
  } catch (const dnnl::error& e) {
    fail("gemm: oneDNN has no product of (", s.m, ", ", s.k, ") ", name_of(a), " and (", s.k, ", ", s.n, ") ",
         name_of(b), " into ", name_of(c), " on this processor (", e.what(), ")", a == DType::BF16 ? "; use fp32" : "");
  }
}

}  // namespace onednn

namespace {

using onednn::Call;

// Rows a band: two million multiply-adds take a dozen microseconds, a call about one. A multiple of 16 rows.
constexpr int64_t kBandProducts = int64_t{1} << 21;

int band_rows(const GemmShape& s) {
  const int64_t rows = ceil_div(kBandProducts, int64_t{1} * s.n * s.k);
  return static_cast<int>(std::min<int64_t>(ceil_div(rows, 16) * 16, s.m));
}

using Key = std::tuple<int, int, int, bool, bool, int64_t, int64_t, int64_t, float, DType, DType, DType, Write>;

// Calls by shape, made once. They hold memory objects a worker, so products run one after another.
struct Products {
  std::mutex mutex;
  std::map<Key, Call> calls;

  Call& find(GemmShape s, int rows, DType a, DType b, DType c, Write write) {
    s.m = rows;
    const Key key{s.m, s.n, s.k, s.transpose_a, s.transpose_b, s.lda, s.ldb, s.ldc, s.alpha, a, b, c, write};
    auto found = calls.find(key);
    if (found == calls.end()) found = calls.emplace(key, onednn::plan_product(s, a, b, c, write)).first;
    found->second.prepare(device_threads());
    return found->second;
  }
};

Products& products() {
  static Products* products = new Products;
  return *products;
}

const char* advance(const void* base, int64_t elements, DType type) {
  return static_cast<const char*>(base) + elements * static_cast<int64_t>(size_of(type));
}

void run(DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& s) {
  Products& all = products();
  const std::lock_guard lock(all.mutex);
  const int height = band_rows(s);
  const int64_t bands = ceil_div(s.m, height);
  Call& full = all.find(s, height, a.type, b.type, c.type, write);
  Call& last = all.find(s, static_cast<int>(s.m - (bands - 1) * height), a.type, b.type, c.type, write);
  const int64_t row_a = s.transpose_a ? 1 : s.lda;
  onednn::parallel_items(s.batch * bands, [&](int64_t item, int worker) {
    const int64_t matrix = item / bands, band = item % bands, row = band * height;
    (band + 1 == bands ? last : full)
        .run(worker,
             {advance(a.data, matrix * s.stride_a + row * row_a, a.type), advance(b.data, matrix * s.stride_b, b.type),
              advance(c.data, matrix * s.stride_c + row * s.ldc, c.type)});
  });
}

}  // namespace

void gemm(Stream& stream, DataRef c, Write write, ConstDataRef a, ConstDataRef b, const GemmShape& shape) {
  GemmShape s = shape;
  ITO_CHECK(s.m > 0 && s.n > 0 && s.k > 0 && s.batch > 0, "gemm: m ", s.m, ", n ", s.n, ", k ", s.k, ", batch ",
            s.batch, "; all must be positive");
  if (!s.lda) s.lda = s.transpose_a ? s.m : s.k;
  if (!s.ldb) s.ldb = s.transpose_b ? s.k : s.n;
  if (!s.ldc) s.ldc = s.n;
  ITO_CHECK(a.type == b.type && (c.type == a.type || c.type == DType::F32), "gemm: ", name_of(a.type), " times ",
            name_of(b.type), " into ", name_of(c.type), "; expected one type, or fp32 as the result");
  submit(stream, "gemm", [=] { run(c, write, a, b, s); });
}

}  // namespace ito
