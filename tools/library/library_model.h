// SPDX-License-Identifier: Apache-2.0
// A model as the library keeps it: on the device, with its noise schedule, and what it has planned for denoising.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/diffusion/schedule.h"
#include "engine/reverse/posterior_mean.h"
#include "models/model_on_device.h"
#include "tools/library/ito.h"
#include "tools/library/option_list.h"

namespace ito {

class LibraryModel {
 public:
  LibraryModel(const std::string& path, OptionList options);

  ito_facts facts() const;
  const std::string& device() const { return device_; }
  std::vector<double> levels() const;  // (T)

  // Planar images in and out, as ito.h says.
  void sample(const std::string& sampler, OptionList options, uint64_t seed, int64_t first, int64_t count,
              const int32_t* labels, float* out);
  void denoise(int64_t count, const float* x, const double* sigma, const int32_t* labels, const float* v, float* x0,
               float* gradient);
  int64_t measurements(const std::string& op) const;
  void measure(const std::string& op, int64_t count, const float* x, float* y) const;
  struct RestoreCall {
    std::string op, solver;
    double noise;
    uint64_t seed;
    int64_t first, count;
    const float* y;
    const int32_t* labels;
    int draws;
    float *samples, *mean, *deviation;  // each may be null
  };
  void restore(const RestoreCall& call, OptionList options);
  void log_likelihood(OptionList options, int64_t first, int64_t count, const float* x, const int32_t* labels,
                      double* nats);

 private:
  const Network& network() const { return model_.network; }
  int batch_of(int64_t images) const;
  void check_labels(const int32_t* labels, int64_t count) const;  // UserError; null where the model has classes
  // The plan for denoising so many at once, kept until another number or derivative is asked for.
  PosteriorMean& mean_of(int64_t count, Denoiser::Gradient gradient);

  ModelOnDevice model_;
  std::optional<NoiseSchedule> schedule_;
  std::string device_;
  DType compute_ = DType::F32;
  int batch_ = 0;
  std::optional<PosteriorMean> mean_;
  Denoiser::Gradient mean_gradient_ = Denoiser::Gradient::None;
};

std::vector<float> interleaved_of(const float* planar, int64_t count, const ImageShape& image);
void put_planar(const std::vector<float>& interleaved, int64_t count, const ImageShape& image, float* planar);

}  // namespace ito
