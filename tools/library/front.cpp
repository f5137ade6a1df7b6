// SPDX-License-Identifier: Apache-2.0
// libito: the functions of ito.h. As the command's front does, it picks the code for this machine when it is asked for,
// and opens it beside itself or in ito/: libito-cuda where there is a GPU, or libito-cpu for this processor. A program
// that is linked with libito thus starts on any machine.
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <string>

#include "tools/gpu_driver.h"
#include "tools/library/backend.h"

struct ito_model {
  const ito::LibraryBackend* backend;
  void* model;
};

struct ito_trainer {
  const ito::LibraryBackend* backend;
  void* trainer;
};

namespace ito {
namespace {

thread_local std::string last_error;
thread_local ito_status last_status = ITO_OK;

std::mutex warning_mutex;
ito_warning_handler warning_handler = nullptr;
void* warning_data = nullptr;

ito_status fail_with(ito_status status, const char* text) {
  last_status = status;
  try {
    last_error = text;
  } catch (const std::exception&) {  // no memory for it
    last_error.clear();
  }
  return status;
}

void warn_with(const char* text) {
  ito_warning_handler handler = nullptr;
  void* data = nullptr;
  {
    const std::lock_guard lock(warning_mutex);
    handler = warning_handler, data = warning_data;
  }
  if (handler) handler(text, data);
}

constexpr LibraryHost kHost{fail_with, warn_with};

// The folder of this library's file, links followed.
std::string own_folder() {
  Dl_info info{};
  if (!dladdr(&kHost, &info) || !info.dli_fname) return ".";
  char* const real = realpath(info.dli_fname, nullptr);
  std::string path = real ? real : info.dli_fname;
  free(real);
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// "" if it is not there.
std::string library_file(const std::string& name) {
  const std::string folder = own_folder();
  for (const char* below : {"/", "/ito/"}) {
    std::string file = folder;
    file.append(below).append(name).append(".so");
    if (access(file.c_str(), R_OK) == 0) return file;
  }
  return "";
}

const LibraryBackend* open_backend(const std::string& file) {
  static std::mutex mutex;
  static std::map<std::string, const LibraryBackend*> opened;
  const std::lock_guard lock(mutex);
  const LibraryBackend*& backend = opened[file];
  if (backend) return backend;
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // for good: its threads outlive any model
  const auto entry = library ? reinterpret_cast<BackendEntry>(dlsym(library, kBackendEntry)) : nullptr;
  if (!entry) {
    const char* const why = dlerror();
    fail_with(ITO_FAILED, ("cannot open " + file + ": " + (why ? why : "it is no library of ito's")).c_str());
    return nullptr;
  }
  const LibraryBackend* const found = entry(&kHost);
  if (std::strcmp(found->version, ITO_VERSION) != 0) {
    fail_with(ITO_FAILED,
              (file + ": is of version " + found->version + ", libito of " ITO_VERSION "; install both from one build")
                  .c_str());
    return nullptr;
  }
  return backend = found;
}

const LibraryBackend* cpu_backend() {
  std::string name = "libito-cpu";
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("x86-64-v3")) {
    fail_with(ITO_FAILED, "this processor lacks AVX2 and FMA (x86-64-v3), which ito is compiled for");
    return nullptr;
  }
  if (__builtin_cpu_supports("x86-64-v4") && !library_file("libito-cpu-v4").empty()) name = "libito-cpu-v4";
#endif
  const std::string file = library_file(name);
  if (!file.empty()) return open_backend(file);
  fail_with(ITO_FAILED,
            (own_folder() + ": has no " + name + ".so, nor has its folder ito; install it beside libito").c_str());
  return nullptr;
}

// The last word of the option; "auto" if it is not among them.
std::string wanted_device(const char* const* options) {
  std::string device = "auto";
  for (; options && *options; ++options)
    if (std::strncmp(*options, "device=", 7) == 0) device = *options + 7;
  return device;
}

const LibraryBackend* choose_backend(const char* const* options) {
  const std::string device = wanted_device(options);
  if (device != "auto" && device != "cpu" && device != "cuda") {
    fail_with(ITO_REFUSED, ("device " + device + ": expected auto, cuda or cpu").c_str());
    return nullptr;
  }
  if (device == "cpu") return cpu_backend();
  const std::string cuda = library_file("libito-cuda");
  if (device == "cuda" && cuda.empty()) {
    fail_with(ITO_REFUSED, "device cuda: this build has no libito-cuda; build one with the preset cuda, or use cpu");
    return nullptr;
  }
  if (device == "cuda") return open_backend(cuda);
  if (cuda.empty()) return cpu_backend();
  const GpuFound gpu = usable_gpu();
  if (!gpu.too_old.empty()) warn_with(gpu.too_old.c_str());
  return gpu.usable ? open_backend(cuda) : cpu_backend();
}

const LibraryBackend* backend_of(const char* const* options) {
  try {
    return choose_backend(options);
  } catch (const std::exception& e) {
    fail_with(ITO_FAILED, e.what());
    return nullptr;
  }
}

ito_status missing(const char* what) {
  char text[64];
  snprintf(text, sizeof(text), "%s is NULL", what);
  return fail_with(ITO_REFUSED, text);
}

// A handle of what the backend opened, or null.
template <class Handle>
Handle* handle_of(const LibraryBackend* backend, void* (*open)(const char*, const char* const*), const char* path,
                  const char* const* options, void (*close)(void*)) {
  void* const opened = open(path, options);
  if (!opened) return nullptr;
  auto* const handle = static_cast<Handle*>(malloc(sizeof(Handle)));
  if (!handle) {
    close(opened);
    fail_with(ITO_FAILED, "out of memory");
    return nullptr;
  }
  *handle = Handle{backend, opened};
  return handle;
}

}  // namespace
}  // namespace ito

using namespace ito;

const char* ito_version(void) {
  return ITO_VERSION;
}

const char* ito_last_error(void) {
  return last_error.c_str();
}

ito_status ito_last_status(void) {
  return last_status;
}

void ito_on_warning(ito_warning_handler handler, void* data) {
  const std::lock_guard lock(warning_mutex);
  warning_handler = handler;
  warning_data = data;
}

ito_model* ito_open(const char* path, const char* const* options) {
  if (!path) return missing("path"), nullptr;
  const LibraryBackend* const backend = backend_of(options);
  return backend ? handle_of<ito_model>(backend, backend->open, path, options, backend->close) : nullptr;
}

void ito_close(ito_model* model) {
  if (model) model->backend->close(model->model);
  free(model);
}

ito_status ito_describe(const ito_model* model, ito_facts* facts) {
  if (!model || !facts) return missing(model ? "facts" : "model");
  return model->backend->describe(model->model, facts);
}

const char* ito_device(const ito_model* model) {
  return model ? model->backend->device(model->model) : "";
}

ito_status ito_levels(const ito_model* model, double* sigma) {
  if (!model || !sigma) return missing(model ? "sigma" : "model");
  return model->backend->levels(model->model, sigma);
}

ito_status ito_sample(ito_model* model, const char* sampler, const char* const* options, uint64_t seed, int64_t first,
                      int64_t count, const int32_t* labels, float* out) {
  if (!model || !out) return missing(model ? "out" : "model");
  return model->backend->sample(model->model, sampler, options, seed, first, count, labels, out);
}

ito_status ito_denoise(ito_model* model, int64_t count, const float* x, const double* sigma, const int32_t* labels,
                       float* x0) {
  if (!model || !x || !sigma || !x0) return missing(!model ? "model" : !x ? "x" : !sigma ? "sigma" : "x0");
  return model->backend->denoise(model->model, count, x, sigma, labels, nullptr, x0, nullptr);
}

ito_status ito_denoise_vjp(ito_model* model, int64_t count, const float* x, const double* sigma, const int32_t* labels,
                           const float* v, float* x0, float* gradient) {
  if (!model || !x || !sigma) return missing(!model ? "model" : !x ? "x" : "sigma");
  if (!v || !gradient) return missing(v ? "gradient" : "v");
  return model->backend->denoise(model->model, count, x, sigma, labels, v, x0, gradient);
}

ito_status ito_measurements(ito_model* model, const char* op, int64_t* numbers) {
  if (!model || !op || !numbers) return missing(!model ? "model" : op ? "numbers" : "op");
  return model->backend->measurements(model->model, op, numbers);
}

ito_status ito_measure(ito_model* model, const char* op, int64_t count, const float* x, float* y) {
  if (!model || !op || !x || !y) return missing(!model ? "model" : !op ? "op" : x ? "y" : "x");
  return model->backend->measure(model->model, op, count, x, y);
}

ito_status ito_restore(ito_model* model, const char* op, double noise, const char* solver, const char* const* options,
                       uint64_t seed, int64_t first, int64_t count, const float* y, const int32_t* labels,
                       int32_t draws, float* samples, float* mean, float* deviation) {
  if (!model || !op || !solver || !y) return missing(!model ? "model" : !op ? "op" : solver ? "y" : "solver");
  return model->backend->restore(model->model, op, noise, solver, options, seed, first, count, y, labels, draws,
                                 samples, mean, deviation);
}

ito_status ito_log_likelihood(ito_model* model, const char* const* options, int64_t first, int64_t count,
                              const float* x, const int32_t* labels, double* nats) {
  if (!model || !x || !nats) return missing(!model ? "model" : x ? "nats" : "x");
  return model->backend->log_likelihood(model->model, options, first, count, x, labels, nats);
}

ito_trainer* ito_trainer_open(const char* model, const char* const* options) {
  if (!model) return missing("model"), nullptr;
  const LibraryBackend* const backend = backend_of(options);
  return backend ? handle_of<ito_trainer>(backend, backend->trainer_open, model, options, backend->trainer_close)
                 : nullptr;
}

void ito_trainer_close(ito_trainer* trainer) {
  if (trainer) trainer->backend->trainer_close(trainer->trainer);
  free(trainer);
}

ito_status ito_trainer_describe(const ito_trainer* trainer, ito_facts* facts, int64_t* images) {
  if (!trainer || !facts || !images) return missing(!trainer ? "trainer" : facts ? "images" : "facts");
  return trainer->backend->trainer_describe(trainer->trainer, facts, images);
}

ito_status ito_trainer_step(ito_trainer* trainer, const float* images, const int32_t* labels) {
  if (!trainer || !images) return missing(trainer ? "images" : "trainer");
  return trainer->backend->trainer_step(trainer->trainer, images, labels);
}

ito_status ito_trainer_progress(ito_trainer* trainer, int64_t* done, double* loss) {
  if (!trainer || !done || !loss) return missing(!trainer ? "trainer" : done ? "loss" : "done");
  return trainer->backend->trainer_progress(trainer->trainer, done, loss);
}

ito_status ito_trainer_save(ito_trainer* trainer) {
  return trainer ? trainer->backend->trainer_save(trainer->trainer) : missing("trainer");
}
