// SPDX-License-Identifier: Apache-2.0
// dy/dt = f(t, y) for a batch of images with a step size and an error norm each (kernels/diffusion/ode.h), wholly on
// the device. One try, six slopes and the controller, is a captured graph that the host replays. It enqueues a try
// before it looks how the one before has ended, so that the device does not wait for it, and at the end one try too
// many runs at most, which moves nothing.
#pragma once
#include <vector>

#include "engine/program/buffer_list.h"
#include "kernels/diffusion/ode.h"

namespace ito {

// Where a slope is wanted. All of it on the device but n and size.
struct OdePoint {
  const float* y;   // (N, size)
  const double* t;  // (N)
  float* slope;     // (N, size), to be set
  double* extra;    // (N, extras), to be set
  int n;
  int64_t size;
};

class Slope {
 public:
  virtual ~Slope() = default;
  // Enqueues f(t, y). Captured: what it launches depends on nothing but device memory.
  virtual void launch(Stream& stream, const OdePoint& point) = 0;
};

struct AdaptiveSettings {
  OdeSettings ode;
  bool capture = true;  // false: every kernel of every try is launched anew (the same bits)
  int most_tries = 10000;
};

class AdaptiveSolver {
 public:
  // Declares its memory in `buffers`. The slope outlives it.
  AdaptiveSolver(Slope& slope, int n, int64_t size, int extras, const AdaptiveSettings& settings, BufferList& buffers);
  void prepare();  // once the buffers are allocated

  float* y() const { return y_.data(); }  // to be filled in before run, and the end after it
  const double* times() const { return times_.data(); }
  // Waits until all images have arrived. Error that names the image, counted from `first`, if one of the first `wanted`
  // did not: its steps became too short, or too many.
  void run(Stream& stream, int64_t first, int wanted);

  std::vector<OdeImage> images(Stream& stream) const;  // of the last run
  std::vector<double> extra(Stream& stream) const;     // (N, extras)
  // Thousandths of the way of all images of all runs so far; another thread may ask.
  int64_t thousandths() const;

 private:
  OdeData view() const;
  void slope(Stream& stream, int number);
  void start(Stream& stream);
  void launch_try(Stream& stream);
  void replay_try(Stream& stream);
  void make_graph(Stream& stream);

  Slope& slope_;
  int n_, extras_;
  int64_t size_;
  AdaptiveSettings settings_;
  Graph try_;
  Event ends_[2];
  int64_t finished_ = 0;         // thousandths of the runs before
  HostBuffer<int64_t> on_host_;  // [0] running, [1] thousandths
  DeviceBuffer<OdeImage> images_;
  DeviceBuffer<float> y_, trial_, slopes_;
  DeviceBuffer<double> times_, extra_, extra_slopes_;
};

}  // namespace ito
