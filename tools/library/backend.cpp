// SPDX-License-Identifier: Apache-2.0
// The table of functions of libito-<device>: each of them around its work.
#include "tools/library/backend.h"

#include <algorithm>
#include <memory>

#include "tools/library/guard.h"
#include "tools/library/library_model.h"
#include "tools/library/library_trainer.h"

namespace ito {
namespace {

LibraryModel& model_of_handle(void* handle) {
  return *static_cast<LibraryModel*>(handle);
}

LibraryTrainer& trainer_of_handle(void* handle) {
  return *static_cast<LibraryTrainer*>(handle);
}

template <class Made>
void* made(const char* path, const char* const* options) {
  std::unique_ptr<Made> handle;
  guarded([&] { handle = std::make_unique<Made>(path, OptionList(options)); });
  return handle.release();
}

// Its memory is the device's: it goes as everything does, with no other call beside it.
template <class Made>
void unmade(void* handle) {
  guarded([&] { delete static_cast<Made*>(handle); });
}

ito_status describe(const void* model, ito_facts* facts) {
  return guarded([&] { *facts = static_cast<const LibraryModel*>(model)->facts(); });
}

const char* device(const void* model) {
  return static_cast<const LibraryModel*>(model)->device().c_str();
}

ito_status levels(const void* model, double* sigma) {
  return guarded([&] { std::ranges::copy(static_cast<const LibraryModel*>(model)->levels(), sigma); });
}

ito_status sample(void* model, const char* sampler, const char* const* options, uint64_t seed, int64_t first,
                  int64_t count, const int32_t* labels, float* out) {
  return guarded([&] {
    model_of_handle(model).sample(sampler ? sampler : "", OptionList(options), seed, first, count, labels, out);
  });
}

ito_status denoise(void* model, int64_t count, const float* x, const double* sigma, const int32_t* labels,
                   const float* v, float* x0, float* gradient) {
  return guarded([&] { model_of_handle(model).denoise(count, x, sigma, labels, v, x0, gradient); });
}

ito_status measurements(void* model, const char* op, int64_t* numbers) {
  return guarded([&] { *numbers = model_of_handle(model).measurements(op); });
}

ito_status measure(void* model, const char* op, int64_t count, const float* x, float* y) {
  return guarded([&] { model_of_handle(model).measure(op, count, x, y); });
}

ito_status restore(void* model, const char* op, double noise, const char* solver, const char* const* options,
                   uint64_t seed, int64_t first, int64_t count, const float* y, const int32_t* labels, int32_t draws,
                   float* samples, float* mean, float* deviation) {
  return guarded([&] {
    const LibraryModel::RestoreCall call{.op = op,
                                         .solver = solver,
                                         .noise = noise,
                                         .seed = seed,
                                         .first = first,
                                         .count = count,
                                         .y = y,
                                         .labels = labels,
                                         .draws = draws,
                                         .samples = samples,
                                         .mean = mean,
                                         .deviation = deviation};
    model_of_handle(model).restore(call, OptionList(options));
  });
}

ito_status log_likelihood(void* model, const char* const* options, int64_t first, int64_t count, const float* x,
                          const int32_t* labels, double* nats) {
  return guarded([&] { model_of_handle(model).log_likelihood(OptionList(options), first, count, x, labels, nats); });
}

ito_status trainer_describe(const void* trainer, ito_facts* facts, int64_t* images) {
  return guarded([&] {
    *facts = static_cast<const LibraryTrainer*>(trainer)->facts();
    *images = static_cast<const LibraryTrainer*>(trainer)->images();
  });
}

ito_status trainer_step(void* trainer, const float* images, const int32_t* labels) {
  return guarded([&] { trainer_of_handle(trainer).step(images, labels); });
}

ito_status trainer_progress(void* trainer, int64_t* done, double* loss) {
  return guarded([&] {
    *loss = trainer_of_handle(trainer).loss();
    *done = trainer_of_handle(trainer).steps_done();
  });
}

ito_status trainer_save(void* trainer) {
  return guarded([&] { trainer_of_handle(trainer).save(); });
}

constexpr LibraryBackend kBackend{.version = ITO_VERSION,
                                  .open = made<LibraryModel>,
                                  .close = unmade<LibraryModel>,
                                  .describe = describe,
                                  .device = device,
                                  .levels = levels,
                                  .sample = sample,
                                  .denoise = denoise,
                                  .measurements = measurements,
                                  .measure = measure,
                                  .restore = restore,
                                  .log_likelihood = log_likelihood,
                                  .trainer_open = made<LibraryTrainer>,
                                  .trainer_close = unmade<LibraryTrainer>,
                                  .trainer_describe = trainer_describe,
                                  .trainer_step = trainer_step,
                                  .trainer_progress = trainer_progress,
                                  .trainer_save = trainer_save};

}  // namespace
}  // namespace ito

extern "C" ITO_API const ito::LibraryBackend* ito_backend(const ito::LibraryHost* host) {
  ito::set_library_host(host);
  return &ito::kBackend;
}
