// SPDX-License-Identifier: Apache-2.0
// dy/dt = f(t, y) by the embedded pair of Dormand and Prince (1980), orders 5 and 4, with the step size control of
// Hairer, Norsett and Wanner (1993, section II.4) as scipy's RK45 has it. Every image has a time, a step and an error
// norm of its own, so that its bits do not depend on the others of its batch:
//   rms(v) = sqrt(mean v^2) over the image, scale = atol + rtol max(|y|, |y'|), err = rms(step sum_j e_j k_j / scale)
//   accepted where err < 1: the next step is min(10, 0.9 err^(-1/5)) times this one, at most 1 after a rejection
//   else the step becomes max(0.2, 0.9 err^(-1/5)) of itself; an image is stuck once it is below 10 ulp of t
// Beside its state an image may carry some numbers in double that f does not depend on (a log density); err is then the
// larger one of both parts' norms. An image that has arrived or is stuck has step 0 and keeps its state.
// Shapes: y, trial (N, size) fp32; slopes (7, N, size) fp32; extra, (N, extras), and extra_slopes, (7, N, extras), in
// double, null where extras is 0; times (N); sums are taken in double.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

inline constexpr int kOdeSlopes = 7;  // k_1 .. k_7

enum class OdeProgress : int32_t { Running, Arrived, Stuck };

// Where one image stands.
struct OdeImage {
  double t, step, goal;  // goal: t + step, exactly the end in the last step
  double wish;           // magnitude of the step that the controller asks for
  OdeProgress progress;
  int32_t rejected_before;                  // the try before was of the same step
  int32_t evaluations, accepted, rejected;  // so far
};

struct OdeSettings {
  double from, to, rtol, atol;
};

// What an image carries from try to try.
struct OdeData {
  OdeImage* images;
  float *y, *trial, *slopes;
  double *times, *extra, *extra_slopes;
  int n;
  int64_t size;
  int extras;
};

// All images at `from`, and `times`, for the first slope; extra is 0.
void ode_begin(Stream& stream, const OdeData& data, const OdeSettings& settings);
// After slope 0 at the start: the step of a trial, y + step k_1, that shows how fast the slope changes.
void ode_first_try(Stream& stream, const OdeData& data, const OdeSettings& settings);
// After slope 1 there: the first step.
void ode_first_step(Stream& stream, const OdeData& data, const OdeSettings& settings);
// Stage 1 to 6: trial = y + step sum_j a_j k_j and its times, for slope `stage`. Stage 6 is y'.
// Stage 0: trial = y + step k_1, of the first try.
void ode_stage(Stream& stream, const OdeData& data, int stage);
// After slope 6: the error norm, acceptance, the next step.
void ode_control(Stream& stream, const OdeData& data, const OdeSettings& settings);
// running: images that have neither arrived nor are stuck; thousandths: of the way, summed over the images. Both are of
// host_allocate, where the host looks.
void ode_count(Stream& stream, int64_t* running, int64_t* thousandths, const OdeData& data,
               const OdeSettings& settings);

}  // namespace ito
