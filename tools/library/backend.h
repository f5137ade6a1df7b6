// SPDX-License-Identifier: Apache-2.0
// Between libito, which holds no device code, and the library that does the work on one device, which libito opens: the
// table of functions that it gives. Both come from one build. No exception crosses it.
#pragma once
#include "tools/library/ito.h"

namespace ito {

// What a backend tells, in the thread of the call.
struct LibraryHost {
  ito_status (*fail)(ito_status status, const char* text);  // returns status
  void (*warn)(const char* text);
};

// As the functions of ito.h that carry their names. Handles are the backend's own.
struct LibraryBackend {
  const char* version;
  void* (*open)(const char* path, const char* const* options);
  void (*close)(void* model);
  ito_status (*describe)(const void* model, ito_facts* facts);
  const char* (*device)(const void* model);
  ito_status (*levels)(const void* model, double* sigma);
  ito_status (*sample)(void* model, const char* sampler, const char* const* options, uint64_t seed, int64_t first,
                       int64_t count, const int32_t* labels, float* out);
  // v and gradient null: denoise alone.
  ito_status (*denoise)(void* model, int64_t count, const float* x, const double* sigma, const int32_t* labels,
                        const float* v, float* x0, float* gradient);
  ito_status (*measurements)(void* model, const char* op, int64_t* numbers);
  ito_status (*measure)(void* model, const char* op, int64_t count, const float* x, float* y);
  ito_status (*restore)(void* model, const char* op, double noise, const char* solver, const char* const* options,
                        uint64_t seed, int64_t first, int64_t count, const float* y, const int32_t* labels,
                        int32_t draws, float* samples, float* mean, float* deviation);
  ito_status (*log_likelihood)(void* model, const char* const* options, int64_t first, int64_t count, const float* x,
                               const int32_t* labels, double* nats);
  void* (*trainer_open)(const char* model, const char* const* options);
  void (*trainer_close)(void* trainer);
  ito_status (*trainer_describe)(const void* trainer, ito_facts* facts, int64_t* images);
  ito_status (*trainer_step)(void* trainer, const float* images, const int32_t* labels);
  ito_status (*trainer_progress)(void* trainer, int64_t* done, double* loss);
  ito_status (*trainer_save)(void* trainer);
};

// The one name that a backend exports. host outlives the process's use of it.
inline constexpr const char* kBackendEntry = "ito_backend";
using BackendEntry = const LibraryBackend* (*)(const LibraryHost* host);

}  // namespace ito
