// SPDX-License-Identifier: Apache-2.0
// The exact answer of a Gaussian mixture and its product with the Jacobian (formulas in the header), in double but for
// the images. A block owns an image. First a thread owns a component and walks the image: its distance is one sum in 16
// lanes; then a thread owns elements and walks the components. No sum is taken over threads, so an image's bits are the
// same in every batch and on every device.
// A logarithm is taken of the product of 16 variances, not of each. Bytes a component and element: 16 read twice, three
// times backwards, from cache for all images but the first. Refused: a block an image and component (few components are
// usual, and the images of a batch are many); leaving out the components of other classes in the second walk, whose
// weight of 0 changes no bit of the sums.
#include "kernels/diffusion/mixture.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"

namespace ito {
namespace {

constexpr int kMixtureThreads = block_threads(128);
constexpr int kLanes = 16;
constexpr int kStrip = WARP == 1 ? 16 : 1;  // elements of a thread in the second walk

constexpr double kNoPart = -1e300;  // ln of what is 0, below every other

struct DoubleLanes {
  double lane[kLanes] = {};
  DEVICE double total() const {
    double a[8], b[4];
    for (int i = 0; i < 8; ++i) a[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; ++i) b[i] = a[i] + a[i + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
  }
};

// One level, as the sums want it.
struct MixtureLevel {
  double alpha, sigma;
  DEVICE double offset(float x, double mean) const { return fma(-alpha, mean, static_cast<double>(x)); }
  DEVICE double variance(double v) const { return fma(alpha * alpha, v, sigma * sigma); }
};

// f(j, lane) for all elements j, lane = j mod 16, in whole rows of lanes.
template <class F>
DEVICE void for_lanes(int64_t size, F&& f) {
  int64_t j = 0;
  for (; j + kLanes <= size; j += kLanes)
    for (int v = 0; v < kLanes; ++v) f(j + v, v);
  for (int v = 0; v < kLanes; ++v)
    if (j + v < size) f(j + v, v);
}

// ln w_k N(x; alpha m_k, c_k) but for what all components share.
template <class T>
DEVICE double log_joint(const T* x, const MixtureLevel& level, double log_weight, const double* means,
                        const double* variances, int64_t size) {
  DoubleLanes square;
  double logs = 0.0;
  for (int64_t j = 0; j < size; j += kLanes) {
    double c[kLanes];
    for (int v = 0; v < kLanes; ++v) c[v] = 1.0;
    const auto add = [&](int v) {
      c[v] = level.variance(variances[j + v]);
      const double d = level.offset(to_float(x[j + v]), means[j + v]);
      square.lane[v] += d * d / c[v];
    };
    if (j + kLanes <= size)
      for (int v = 0; v < kLanes; ++v) add(v);
    else
      for (int v = 0; v < kLanes; ++v)
        if (j + v < size) add(v);
    for (int half = kLanes / 2; half > 0; half /= 2)
      for (int v = 0; v < half; ++v) c[v] *= c[v + half];
    logs += double_log(c[0]);
  }
  return log_weight - 0.5 * (square.total() + logs);
}

// Whether x0 can be of the component.
DEVICE bool belongs(const MixtureTables& tables, int32_t label, int64_t k) {
  return label < 0 || label >= tables.class_count || tables.classes[k] == label;
}

// r (K), shared: the posterior weights times the returned number.
template <class T>
DEVICE double posterior_weights(double* r, const T* x, const MixtureLevel& level, int32_t label,
                                const MixtureTables& tables, int components, int64_t size) {
  BLOCK_LOOP(k, components)
  r[k] = belongs(tables, label, k)
             ? log_joint(x, level, tables.log_weights[k], tables.means + k * size, tables.variances + k * size, size)
             : kNoPart;
  block_sync();
  double most = r[0];
  for (int k = 1; k < components; ++k) most = r[k] > most ? r[k] : most;
  block_sync();
  BLOCK_LOOP(k, components) r[k] = r[k] == kNoPart ? 0.0 : double_exp(r[k] - most);
  block_sync();
  double sum = 0.0;
  for (int k = 0; k < components; ++k) sum += r[k];
  return sum;
}

// f(first, width) for the thread's strips of an image; width is the constant kStrip but for a last, partial strip.
struct WholeStrip {
  DEVICE constexpr operator int() const { return kStrip; }
};

template <class F>
DEVICE void for_strips(int64_t size, F&& f) {
  BLOCK_LOOP(strip, (size + kStrip - 1) / kStrip) {
    const int64_t first = strip * kStrip;
    if (size - first >= kStrip) {
      f(first, WholeStrip{});
    } else if constexpr (kStrip > 1) {
      f(first, static_cast<int>(size - first));
    }
  }
}

DEVICE MixtureLevel level_of(const MixtureImages& images, int64_t image) {
  return {static_cast<double>(images.level[2 * image]), static_cast<double>(images.level[2 * image + 1])};
}
DEVICE int32_t label_of(const MixtureImages& images, int64_t image) {
  return images.labels ? images.labels[image] : -1;
}

template <class T>
KERNEL void mixture_eps_kernel(T* eps, const T* x, MixtureImages images, MixtureTables tables, int components,
                               int64_t size) {
  double* r = dyn_shared<double>();  // (K)
  const int64_t image = blockIdx.x;
  const T* own = x + image * size;
  const MixtureLevel level = level_of(images, image);
  const double scale =
      level.sigma / posterior_weights(r, own, level, label_of(images, image), tables, components, size);
  for_strips(size, [&](int64_t first, auto width) {
    double sum[kStrip] = {};
    for (int k = 0; k < components; ++k) {
      const double* means = tables.means + k * size + first;
      const double* variances = tables.variances + k * size + first;
      for (int v = 0; v < width; ++v)
        sum[v] = fma(r[k], level.offset(to_float(own[first + v]), means[v]) / level.variance(variances[v]), sum[v]);
    }
    for (int v = 0; v < width; ++v) eps[image * size + first + v] = from_float<T>(static_cast<float>(scale * sum[v]));
  });
}

template <class T>
KERNEL void mixture_eps_backward_kernel(T* dx, bool add, const T* deps, const T* x, MixtureImages images,
                                        MixtureTables tables, int components, int64_t size) {
  double* r = dyn_shared<double>();  // (K)
  double* along = r + components;    // (K): g_k . u
  const int64_t image = blockIdx.x;
  const T* own = x + image * size;
  const T* u = deps + image * size;
  const MixtureLevel level = level_of(images, image);
  const double total = posterior_weights(r, own, level, label_of(images, image), tables, components, size);
  BLOCK_LOOP(k, components) {
    const double* means = tables.means + k * size;
    const double* variances = tables.variances + k * size;
    DoubleLanes dot;
    for_lanes(size, [&](int64_t j, int v) {
      const double g = level.offset(to_float(own[j]), means[j]) / level.variance(variances[j]);
      dot.lane[v] = fma(g, static_cast<double>(to_float(u[j])), dot.lane[v]);
    });
    along[k] = dot.total();
  }
  block_sync();
  double mean_along = 0.0;
  for (int k = 0; k < components; ++k) mean_along = fma(r[k], along[k], mean_along);
  mean_along /= total;
  const double scale = level.sigma / total;
  for_strips(size, [&](int64_t first, auto width) {
    double sum[kStrip] = {};
    for (int k = 0; k < components; ++k) {
      const double* means = tables.means + k * size + first;
      const double* variances = tables.variances + k * size + first;
      const double off = along[k] - mean_along;
      for (int v = 0; v < width; ++v) {
        const double d = level.offset(to_float(own[first + v]), means[v]);
        const double pulled = fma(-off, d, static_cast<double>(to_float(u[first + v])));
        sum[v] = fma(r[k], pulled / level.variance(variances[v]), sum[v]);
      }
    }
    for (int v = 0; v < width; ++v) {
      T& out = dx[image * size + first + v];
      const float value = static_cast<float>(scale * sum[v]);
      out = from_float<T>(add ? to_float(out) + value : value);
    }
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_mixture(const char* kernel, const MixtureImages& images, const MixtureTables& tables,
                          const MixtureShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.size > 0 && shape.components > 0 && shape.components <= kMostComponents, kernel,
            ": N ", shape.n, ", size ", shape.size, ", K ", shape.components, ", expected positive sizes and at most ",
            kMostComponents, " components");
  ITO_CHECK(images.level && tables.log_weights && tables.means && tables.variances, kernel, ": a table is null");
  ITO_CHECK((images.labels != nullptr) == (tables.classes != nullptr), kernel,
            ": labels are given and the components have no classes, or the other way round");
}

void mixture_eps(Stream& stream, DataRef eps, ConstDataRef x, const MixtureImages& images, const MixtureTables& tables,
                 const MixtureShape& shape) {
  check_mixture("mixture_eps", images, tables, shape);
  by_type(x.type, [&](auto tag) {
    using T = decltype(tag);
    launch<mixture_eps_kernel<T>>("mixture_eps", Dim3(shape.n), kMixtureThreads, sizeof(double) * shape.components,
                                  stream, eps.as<T>(), x.as<T>(), images, tables, shape.components, shape.size);
  });
}

void mixture_eps_backward(Stream& stream, DataRef dx, Write write, ConstDataRef deps, ConstDataRef x,
                          const MixtureImages& images, const MixtureTables& tables, const MixtureShape& shape) {
  check_mixture("mixture_eps_backward", images, tables, shape);
  by_type(x.type, [&](auto tag) {
    using T = decltype(tag);
    launch<mixture_eps_backward_kernel<T>>(
        "mixture_eps_backward", Dim3(shape.n), kMixtureThreads, 2 * sizeof(double) * shape.components, stream,
        dx.as<T>(), write == Write::Add, deps.as<T>(), x.as<T>(), images, tables, shape.components, shape.size);
  });
}

}  // namespace ito
