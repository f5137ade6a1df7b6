// SPDX-License-Identifier: Apache-2.0
// libito: a diffusion model from a C program. Open one, draw images from it, denoise (with the derivative that guidance
// asks for), restore images from measurements, ask how probable images are, train. Plain C99.
//
// Images are float, (N, C, H, W): image after image, in planes. Data are in [-1, 1]. All memory is the caller's and the
// host's; `out` arguments are filled, and hold nothing to rely on after a failure.
//
// Errors. A function that returns ito_status says ITO_OK, ITO_REFUSED (a mistake in what was asked: a file, an option,
// a shape) or ITO_FAILED (ours, or the machine's). One that returns a pointer returns NULL. What was wrong is then one
// line of ito_last_error(). Nothing is printed, no signal is caught, the process is never ended; warnings go to the
// function that ito_on_warning was given, or nowhere.
//
// Options are a list of texts "key=value" that ends in NULL, or NULL for none. They are those of the `ito` command, by
// the same words. An unknown key is refused.
//
// Threads. Any function may be called from any thread. Calls that use a device wait for each other: a device does one
// at a time, on as many threads of its own as it was given. A model must not be closed while another thread uses it.
//
// Bits. Image i of a seed has the same bits whatever the batch, the number of images and the threads, and they are
// `ito sample`'s on the same device. So has an image that is denoised, whatever stands beside it.
#ifndef ITO_H
#define ITO_H
#include <stdint.h>

#define ITO_VERSION_MAJOR 0
#define ITO_VERSION_MINOR 1

#if defined(__GNUC__)
#define ITO_API __attribute__((visibility("default")))
#else
#define ITO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ito_status { ITO_OK = 0, ITO_FAILED = 1, ITO_REFUSED = 2 } ito_status;
typedef struct ito_model ito_model;
typedef struct ito_trainer ito_trainer;

ITO_API const char* ito_version(void);  // "0.1.0", of the library that is loaded
// Of this thread's last call that failed: one line, what was wrong, where, what to do. "" before the first one. Valid
// until the thread's next call.
ITO_API const char* ito_last_error(void);
ITO_API ito_status ito_last_status(void);  // of that call: what a NULL meant
// handler: called for every warning with its text, in the thread whose call it is of, before that call returns. NULL:
// none, as at the beginning. Of the whole process.
typedef void (*ito_warning_handler)(const char* text, void* data);
ITO_API void ito_on_warning(ito_warning_handler handler, void* data);

// path: a run of `ito train`, a checkpoint, a diffusers directory or the file of an exact network. Options:
//   device    auto (a GPU where there is one), cuda or cpu
//   precision fp32 or bf16
//   batch     images that the network sees at once; 64
//   height, width  0: as the model says
//   threads   of the CPU, for all models of the process from now on; 0: all cores
//   guidance  weight of classifier-free guidance, or of guidance by
//   guide     a worse model, which the model is led away from
ITO_API ito_model* ito_open(const char* path, const char* const* options);
ITO_API void ito_close(ito_model* model);  // NULL: nothing

typedef struct ito_facts {
  int32_t channels, height, width;  // of an image
  int32_t classes;                  // that may be asked for, 0 .. classes-1; 0: the model has none
  int32_t timesteps;                // T, of the noise schedule
  int64_t parameters;
} ito_facts;
ITO_API ito_status ito_describe(const ito_model* model, ito_facts* facts);
ITO_API const char* ito_device(const ito_model* model);  // "cpu", or the GPU's name; as long as the model is open
// sigma (T): noise to signal of every timestep, rising: x = x0 + sigma eps. Of a model whose own state is
// alpha x0 + sigma' eps it is sigma' / alpha.
ITO_API ito_status ito_levels(const ito_model* model, double* sigma);

// Images first .. first+count-1 of the seed. sampler: NULL for the one that the model's scheduler names. Options:
// steps, spacing, reverse, clip_denoised (on, off), and those of the sampler (`ito sample --help` lists them). labels
// (count), of a model with classes, or NULL for all in turn.
ITO_API ito_status ito_sample(ito_model* model, const char* sampler, const char* const* options, uint64_t seed,
                              int64_t first, int64_t count, const int32_t* labels, float* out);

// E[x0 | x] for x = x0 + sigma eps, a sigma of its own for every image: D(x; sigma) of Karras et al. 2022, whatever the
// model was trained to predict. With a state alpha x0 + sigma' eps, give x / alpha and sigma' / alpha. The score of x's
// density is (D - x) / sigma^2. sigma 0 gives x. labels (count): needed by a model with classes.
ITO_API ito_status ito_denoise(ito_model* model, int64_t count, const float* x, const double* sigma,
                               const int32_t* labels, float* x0);
// Besides, gradient = (d D / d x)^T v, which guidance by a loss L of the estimate asks for with v = dL / dD. v,
// gradient as x. x0 may be NULL.
ITO_API ito_status ito_denoise_vjp(ito_model* model, int64_t count, const float* x, const double* sigma,
                                   const int32_t* labels, const float* v, float* x0, float* gradient);

// Measurement operators, "NAME[:ARGS]" or several joined by + (`ito restore --help` lists them). `numbers` says how
// many numbers M a measurement has; y (count, M), in planes where a measurement is an image, is H(x) without noise.
ITO_API ito_status ito_measurements(ito_model* model, const char* op, int64_t* numbers);
ITO_API ito_status ito_measure(ito_model* model, const char* op, int64_t count, const float* x, float* y);

// Draws of images that could have been measured: x ~ p(x0 | y), y = H(x0) + noise z. noise is in the units of y, whose
// images are in [-1, 1] (`ito restore --sigma-y` is half of it). Options: steps, clip_denoised, and those of the
// solver. first: number of the first measurement; draw d of measurement m is a function of (seed, m, d). samples
// (count, draws, C, H, W); mean, deviation (count, C, H, W), of the draws; each may be NULL.
ITO_API ito_status ito_restore(ito_model* model, const char* op, double noise, const char* solver,
                               const char* const* options, uint64_t seed, int64_t first, int64_t count, const float* y,
                               const int32_t* labels, int32_t draws, float* samples, float* mean, float* deviation);

// nats (count): ln p(x) by change of variables along the model's probability flow (Song et al. 2021). Options: trace
// (hutchinson, exact), probes, rtol, atol, sampling_eps, seed (of the probes). first: number of the first image, which
// its probes belong to.
ITO_API ito_status ito_log_likelihood(ito_model* model, const char* const* options, int64_t first, int64_t count,
                                      const float* x, const int32_t* labels, double* nats);

// Training. model: the name of a configuration, the path of one, or a model, whose weights training starts from.
// Options: device; out, the folder of the run, which is one of `ito train`'s; resume=true, to go on from its newest
// checkpoint with the bits of an unbroken run; and those of `ito train` that are not about data and pictures: steps
// (which the learning rate stretches with), batch, lr, seed, precision, ... A step is a function of its number, the
// seed and the images.
ITO_API ito_trainer* ito_trainer_open(const char* model, const char* const* options);
ITO_API void ito_trainer_close(ito_trainer* trainer);  // NULL: nothing. Saves nothing.
// images: how many a step takes (the option batch).
ITO_API ito_status ito_trainer_describe(const ito_trainer* trainer, ito_facts* facts, int64_t* images);
// One step on images (batch, C, H, W) in [-1, 1] and, for a model with classes, labels (batch). It may return before
// the device has done it.
ITO_API ito_status ito_trainer_step(ito_trainer* trainer, const float* images, const int32_t* labels);
// done: steps so far, those before a resume included; loss: the mean since the last time this was asked, which becomes
// a line of the run's metrics; NaN if there was no step. Waits for the device.
ITO_API ito_status ito_trainer_progress(ito_trainer* trainer, int64_t* done, double* loss);
// A checkpoint in the run's folder: averaged weights, which the command and ito_open read, and what training goes on
// from. Whole or not at all; older ones go as keep_last and keep_every say.
ITO_API ito_status ito_trainer_save(ito_trainer* trainer);

#ifdef __cplusplus
}
#endif
#endif
