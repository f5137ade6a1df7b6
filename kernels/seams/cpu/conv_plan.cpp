// SPDX-License-Identifier: Apache-2.0
// oneDNN primitives of a convolution layer.
#include "kernels/seams/cpu/conv_plan.h"

#include <algorithm>
#include <optional>

namespace ito::onednn {
namespace {

constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;

// A band costs one call, about a microsecond; two million multiply-adds take a dozen.
constexpr int64_t kBandProducts = int64_t{1} << 21;
constexpr int kMaxBands = 16;
constexpr int kMinBandRows = 4;

// One band as a convolution of its own: rows of x and y, and the zero rows above and below.
struct Rows {
  int x_first, x_rows, y_first, y_rows, pad_top, pad_bottom;
  bool same_problem(const Rows& o) const {
    return x_rows == o.x_rows && y_rows == o.y_rows && pad_top == o.pad_top && pad_bottom == o.pad_bottom;
  }
};

Rows whole_image(const ConvShape& s) {
  return {0, s.h, 0, s.out_h(), s.pad_top, s.pad_bottom};
}

// Rows [first, last) of y need these rows of x.
std::optional<Rows> rows_for_y(const ConvShape& s, int first, int last) {
  const int top = first * s.stride - s.pad_top, bottom = (last - 1) * s.stride - s.pad_top + s.r;
  const int x_first = std::max(top, 0), x_last = std::min(bottom, s.h);
  if (x_last <= x_first) return std::nullopt;
  return Rows{x_first, x_last - x_first, first, last - first, x_first - top, bottom - x_last};
}

// Rows [first, last) of dx need these rows of dy: those whose window touches them.
std::optional<Rows> rows_for_dx(const ConvShape& s, int first, int last) {
  const int y_first = static_cast<int>(ceil_div(std::max(first + s.pad_top - (s.r - 1), 0), s.stride));
  const int y_last = std::min((last - 1 + s.pad_top) / s.stride + 1, s.out_h());
  const int rows = last - first, y_rows = y_last - y_first;
  const int pad_top = first + s.pad_top - y_first * s.stride;
  const int pad_bottom = std::max((y_rows - 1) * s.stride + s.r - rows - pad_top, 0);
  if (y_rows <= 0 || pad_top < 0 || (rows + pad_top + pad_bottom - s.r) / s.stride + 1 != y_rows) return std::nullopt;
  return Rows{first, rows, y_first, y_rows, pad_top, pad_bottom};
}

// The cut of `rows` produced rows: a function of the layer alone. One band: the image is not cut.
template <class F>
std::vector<Rows> cut(const ConvShape& s, int rows, int multiple, const F& rows_for) {
  const int64_t products = int64_t{1} * s.out_h() * s.out_w() * s.weights();
  int bands = 1;
  while (bands < kMaxBands && products / (2 * bands) >= kBandProducts && rows / (2 * bands) >= kMinBandRows) bands *= 2;
  std::vector<Rows> out;
  const int height = static_cast<int>(ceil_div(ceil_div(rows, bands), multiple)) * multiple;
  for (int first = 0; bands > 1 && first < rows; first += height) {
    const std::optional<Rows> band = rows_for(s, first, std::min(first + height, rows));
    if (!band) return {whole_image(s)};
    out.push_back(*band);
  }
  return bands > 1 ? out : std::vector<Rows>{whole_image(s)};
}

// One convolution of n images: the descriptors all three directions are made of.
struct Problem {
  Desc x, y, filters, bias;
  Dims strides, before, after;
  Problem(const ConvShape& s, const Rows& rows, DType type, int n, const Desc& filters_)
      : x({n, s.c, rows.x_rows, s.w}, data_type(type), Tag::nhwc),
        y({n, s.k, rows.y_rows, s.out_w()}, data_type(type), Tag::nhwc),
        filters(filters_),
        bias({s.k}, dnnl::memory::data_type::f32, Tag::x),
        strides{s.stride, s.stride},
        before{rows.pad_top, s.pad_left},
        after{rows.pad_bottom, s.pad_right} {}

  dnnl::convolution_forward::primitive_desc forward() const {
    return {{dnnl::prop_kind::forward_training, kAlgorithm, x, filters, bias, y, strides, before, after},
            attributes(),
            engine()};
  }
};

Desc any_filters(const ConvShape& s, DType type) {
  return {{s.k, s.c, s.r, s.s}, data_type(type), Tag::any};
}

Call forward_call(const Problem& p, Desc& filters) {
  const auto pd = p.forward();
  filters = pd.weights_desc();
  return {pd,
          dnnl::convolution_forward(pd),
          {{DNNL_ARG_SRC, p.x}, {DNNL_ARG_WEIGHTS, filters}, {DNNL_ARG_BIAS, p.bias}, {DNNL_ARG_DST, p.y}}};
}

Call backward_data_call(const Problem& p, Desc& filters) {
  Problem hint = p;  // the forward may like another layout of filters
  hint.filters = {p.filters.dims(), p.filters.data_type(), Tag::any};
  const dnnl::convolution_backward_data::primitive_desc pd(
      {kAlgorithm, p.x, p.filters, p.y, p.strides, p.before, p.after}, attributes(), engine(), hint.forward());
  filters = pd.weights_desc();
  return {pd,
          dnnl::convolution_backward_data(pd),
          {{DNNL_ARG_DIFF_DST, p.y}, {DNNL_ARG_WEIGHTS, filters}, {DNNL_ARG_DIFF_SRC, p.x}}};
}

bool is_reference(const Call& call) {
  return call.name().rfind("ref", 0) == 0;
}

// Makes the calls of the bands; nothing if the library has no fast one for some band in the first band's layout.
template <class MakeCall>
std::optional<ImagePlan> plan_bands(const ConvShape& s, DType type, const std::vector<Rows>& cut, bool produces_y,
                                    const MakeCall& make) {
  ImagePlan plan;
  std::vector<Rows> made;
  for (const Rows& rows : cut) {
    size_t call = 0;
    while (call < made.size() && !made[call].same_problem(rows)) ++call;
    if (call == made.size()) {
      const bool first = made.empty();
      try {
        plan.calls.push_back(
            make(Problem(s, rows, type, 1, first ? any_filters(s, type) : plan.filters), plan.filters));
      } catch (const dnnl::error&) {
        if (first) throw;
        return std::nullopt;
      }
      if (!first && is_reference(plan.calls.back())) return std::nullopt;
      made.push_back(rows);
    }
    const int64_t x = int64_t{1} * rows.x_first * s.w * s.c, y = int64_t{1} * rows.y_first * s.out_w() * s.k;
    plan.bands.push_back({static_cast<int>(call), produces_y ? x : y, produces_y ? y : x,
                          produces_y ? int64_t{1} * rows.y_rows * s.out_w() : int64_t{1} * rows.x_rows * s.w});
  }
  return plan;
}

template <class MakeCall>
ImagePlan plan_image(const char* name, const char* direction, const ConvShape& s, DType type,
                     const std::vector<Rows>& cut, bool produces_y, const MakeCall& make) {
  const OneThread one;
  try {
    if (auto plan = plan_bands(s, type, cut, produces_y, make)) return *std::move(plan);
    return plan_bands(s, type, {whole_image(s)}, produces_y, make).value();
  } catch (const dnnl::error& e) {
    fail("conv ", name, ": oneDNN has no ", direction, " for ", s.h, "x", s.w, ", ", s.c, " to ", s.k, " channels, ",
         s.r, "x", s.s, " filters, stride ", s.stride, ", ", name_of(type), " on this processor (", e.what(), ")",
         type == DType::BF16 ? "; use fp32" : "");
  }
}

}  // namespace

ImagePlan plan_forward(const char* name, const ConvShape& s, DType type) {
  return plan_image(name, "forward", s, type, cut(s, s.out_h(), 1, rows_for_y), true, forward_call);
}

ImagePlan plan_backward_data(const char* name, const ConvShape& s, DType type) {
  return plan_image(name, "data gradient", s, type, cut(s, s.h, s.stride, rows_for_dx), false, backward_data_call);
}

WeightPlan plan_backward_weight(const char* name, const ConvShape& s, DType type, int images) {
  const OneThread one;
  try {
    const Problem p(s, whole_image(s), type, images, any_filters(s, type));
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {kAlgorithm, p.x, any_filters(s, DType::F32), p.bias, p.y, p.strides, p.before, p.after}, attributes(),
        engine(), p.forward());
    WeightPlan plan;
    plan.filters = pd.diff_weights_desc();
    plan.call = {pd,
                 dnnl::convolution_backward_weights(pd),
                 {{DNNL_ARG_SRC, p.x},
                  {DNNL_ARG_DIFF_DST, p.y},
                  {DNNL_ARG_DIFF_WEIGHTS, plan.filters},
                  {DNNL_ARG_DIFF_BIAS, p.bias}}};
    return plan;
  } catch (const dnnl::error& e) {
    fail("conv ", name, ": oneDNN has no weight gradient for ", s.h, "x", s.w, ", ", s.c, " to ", s.k, " channels, ",
         name_of(type), " on this processor (", e.what(), ")", type == DType::BF16 ? "; use fp32" : "");
  }
}

Desc masters(const ConvShape& s) {
  return {{s.k, s.c, s.r, s.s}, dnnl::memory::data_type::f32, Tag::ohwi};
}

Call plan_reorder(const Desc& from, const Desc& to) {
  const OneThread one;
  const dnnl::reorder::primitive_desc pd(engine(), from, engine(), to, attributes());
  return {pd, dnnl::reorder(pd), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}}};
}

}  // namespace ito::onednn
