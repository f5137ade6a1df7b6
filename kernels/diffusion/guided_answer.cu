// SPDX-License-Identifier: Apache-2.0
// Two answers joined and the join's gradients, element by element (formulas in the header), in fp32 and rounded once.
// Bytes an element, s of the type: both answers read, the result written, 3s; a gradient reads s and writes s, and
// reads s more where it is added to. Refused: one launch for both gradients, whose rows may be of unlike widths, and of
// which a program often wants one; the join within the network's last convolution, which every architecture would have
// to know for 3s of the thousands that its network reads an element.
#include "kernels/diffusion/guided_answer.h"

#include "dialect.h"

namespace ito {
namespace {

DEVICE float weight_at(const GuidanceWeight* weight, float time) {
  return time >= weight->from && time <= weight->to ? weight->weight : 1.0f;
}

template <class T>
DEVICE void guided_answer_item(int64_t i, T* answer, const T* main, const T* other, const float* times,
                               const GuidanceWeight* weight, GuidedShape shape) {
  const int64_t pixel = i / shape.main_channels;
  const auto channel = static_cast<int>(i - pixel * shape.main_channels);
  const float w = weight_at(weight, times[pixel / shape.pixels]);
  // As it is, not by a product with 0: an infinite number of the other answer is nobody's there.
  if (channel >= shape.channels || w == 1.0f) {
    answer[i] = main[i];
  } else {
    const float of_main = to_float(main[i]), of_other = to_float(other[pixel * shape.other_channels + channel]);
    answer[i] = from_float<T>(fmaf(w - 1.0f, of_main - of_other, of_main));
  }
}

// The gradient of main, or of the other answer.
template <class T, bool kMain>
DEVICE void guided_answer_backward_item(int64_t i, T* dx, bool add, const T* danswer, const float* times,
                                        const GuidanceWeight* weight, GuidedShape shape) {
  const int width = kMain ? shape.main_channels : shape.other_channels;
  const int64_t pixel = i / width;
  const auto channel = static_cast<int>(i - pixel * width);
  const float w = weight_at(weight, times[pixel / shape.pixels]);
  const bool guided = channel < shape.channels;
  float factor = kMain ? 1.0f : 0.0f;
  if (guided) factor = kMain ? w : 1.0f - w;
  const bool reads = kMain || guided;
  const float value = reads ? factor * to_float(danswer[pixel * shape.main_channels + channel]) : 0.0f;
  dx[i] = from_float<T>(add ? to_float(dx[i]) + value : value);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_guided(const char* kernel, const float* times, const GuidanceWeight* weight, const GuidedShape& s) {
  ITO_CHECK(s.n >= 0 && s.pixels > 0 && s.channels > 0 && s.channels <= s.main_channels &&
                s.channels <= s.other_channels && times && weight,
            kernel, ": N ", s.n, " of ", s.pixels, " pixels, ", s.channels, " channels of ", s.main_channels, " and ",
            s.other_channels, ", expected positive sizes, and no null");
}

void guided_answer(Stream& stream, DataRef answer, ConstDataRef main, ConstDataRef other, const float* times,
                   const GuidanceWeight* weight, const GuidedShape& shape) {
  check_guided("guided_answer", times, weight, shape);
  by_type(answer.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<guided_answer_item<T>>("guided_answer", shape.n * shape.pixels * shape.main_channels, stream,
                                    answer.as<T>(), main.as<T>(), other.as<T>(), times, weight, shape);
  });
}

void guided_answer_backward(Stream& stream, DataRef dmain, Write write_main, DataRef dother, Write write_other,
                            ConstDataRef danswer, const float* times, const GuidanceWeight* weight,
                            const GuidedShape& shape) {
  check_guided("guided_answer_backward", times, weight, shape);
  by_type(danswer.type, [&](auto tag) {
    using T = decltype(tag);
    const int64_t rows = shape.n * shape.pixels;
    if (dmain)
      for_each<guided_answer_backward_item<T, true>>("guided_answer_dmain", rows * shape.main_channels, stream,
                                                     dmain.as<T>(), write_main == Write::Add, danswer.as<T>(), times,
                                                     weight, shape);
    if (dother)
      for_each<guided_answer_backward_item<T, false>>("guided_answer_dother", rows * shape.other_channels, stream,
                                                      dother.as<T>(), write_other == Write::Add, danswer.as<T>(), times,
                                                      weight, shape);
  });
}

}  // namespace ito
