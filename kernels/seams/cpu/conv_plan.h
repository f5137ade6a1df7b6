// SPDX-License-Identifier: Apache-2.0
// How a convolution layer is cut into one-thread oneDNN calls. An image is cut into row bands, the same for every
// batch and thread count; in NHWC a band of one image is itself a whole (smaller) tensor.
#pragma once
#include <vector>

#include "kernels/seams/conv.h"
#include "kernels/seams/cpu/onednn.h"

namespace ito::onednn {

// Rows of the produced tensor (y, or dx) and the consumed rows they need.
struct Band {
  int call;                         // index into ImagePlan::calls
  int64_t consumed_offset;          // elements from the image's start
  int64_t produced_offset, pixels;  // of the produced tensor: elements from the image's start, pixels in the band
};

struct ImagePlan {
  std::vector<Call> calls;  // operands: consumed, filters, [bias,] produced
  std::vector<Band> bands;
  Desc filters;  // the library's layout, one for all calls
};

// y from x. Bias is always an operand (zeros where the layer has none).
ImagePlan plan_forward(const char* name, const ConvShape& shape, DType type);
// dx from dy.
ImagePlan plan_backward_data(const char* name, const ConvShape& shape, DType type);

// The weight and bias gradient of one chunk of images. Operands: x, dy, dweight, dbias (both fp32).
struct WeightPlan {
  Call call;
  Desc filters;
};
WeightPlan plan_backward_weight(const char* name, const ConvShape& shape, DType type, int images);

// Masters are (K, R, S, C) fp32; operands: from, to.
Desc masters(const ConvShape& shape);
Call plan_reorder(const Desc& from, const Desc& to);

}  // namespace ito::onednn
