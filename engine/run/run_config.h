// SPDX-License-Identifier: Apache-2.0
// Everything a training run is told: the options of `ito train`, the keys of --config files and of OUT/config.json (the
// same words, dashes as underscores). An option is one line in `visit` and its field with the default; the command
// line, its help, the range check, the JSON and the identity of a run all walk that list.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/diffusion/family.h"
#include "engine/diffusion/options/option.h"
#include "engine/diffusion/quantity.h"
#include "engine/diffusion/weighting.h"
#include "engine/io/json_file.h"
#include "engine/training/learning_rate.h"
#include "engine/training/level_draw.h"
#include "kernels/seams/conv.h"

namespace ito {

inline constexpr int kMaxImageSide = 1 << 14;  // pixels; what a network configuration may ask for too
inline constexpr int kMaxBatch = 1 << 16;      // images at once
inline constexpr int kMaxThreads = 1 << 12;

// What a value may be; an open end is not itself allowed.
struct OptionRange {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  bool least_open = false, most_open = false;

  bool holds(double value) const;  // finite, too
  std::string text() const;        // "at least 1", "0 to 4096", "a value in [0, 1)"
};

constexpr OptionRange at_least(double least) {
  return {.least = least};
}
constexpr OptionRange between(double least, double most) {
  return {.least = least, .most = most};
}
constexpr OptionRange from_to_below(double least, double most) {
  return {.least = least, .most = most, .most_open = true};
}
constexpr OptionRange inside(double least, double most) {
  return {.least = least, .most = most, .least_open = true, .most_open = true};
}

enum class OptionRole : uint8_t {
  Free,     // the numbers of a run do not depend on it: a resumed run may change it
  Numbers,  // they do
  Start,    // of this start, not of the run: not kept in config.json
};

struct RunOption {
  const char* key;  // checkpoint_every, which is --checkpoint-every on the command line
  std::string help;
  OptionRange range = {};
  std::string zero = {};  // what 0 means, where it means something else than the other numbers
  OptionRole role = OptionRole::Free;
  // What it was for runs from before there was such an option; null: there always was.
  const char* before = nullptr;
};

std::string either_of(const std::vector<std::string>& names);  // "none, snr or edm"

struct RunConfig {
  std::string data, out;
  std::string model = "demo";
  std::string init;  // "": none
  int64_t steps = 10000;
  int batch = 128, micro_batch = 0;
  int64_t max_memory = 0;  // MiB
  uint64_t seed = 0;
  double lr = 1e-4;
  std::string lr_schedule = "cosine";
  int64_t warmup = 500;
  std::vector<double> adam_betas{0.95, 0.999};
  double weight_decay = 1e-6;
  double grad_clip = 1.0;
  double ema_decay = 0.9999;
  std::string ema;  // "": ema_decay alone
  int64_t ema_snapshots = 0;
  std::string precision = "fp32";
  std::string scheduler;  // "": none
  std::string family;     // "": the scheduler's, or the model's usual
  std::string reverse;    // "": the scheduler's
  // "": the scheduler's, or DDPMScheduler's (resolve_scheduler)
  std::string prediction_type, beta_schedule, variance_type;
  std::string loss;  // "": as the variance asks (train_loss.h)
  // "": as the model is published to be trained, or none; or the family's usual one
  std::string loss_weighting, timestep_sampling;
  bool flip = false;
  double class_dropout = 0;
  int resolution = 0;
  int64_t checkpoint_every = 1000, log_every = 10, sample_every = 0;
  int64_t keep_last = 3, keep_every = 0;
  int64_t max_skipped = 10;
  bool stream = false;
  int threads = 0;
  bool eager = false, other_kernels = false, tensorboard = false, resume = false;

  // visitor(value, RunOption) for every option, in the order of the help. Run: RunConfig or const RunConfig.
  template <class Run, class Visitor>
  static void visit(Run& run, Visitor&& visitor) {
    using enum OptionRole;
    visitor(run.data,
            RunOption{
                "data",
                "fashion-mnist, or a folder, tar or zip of images, a packed, IDX, CIFAR-10, npz or safetensors file"});
    visitor(run.out, RunOption{"out", "folder of the run: checkpoints, metrics, pictures"});
    visitor(run.model, RunOption{"model",
                                 "a named model, a config.json for its architecture alone, or a model or checkpoint, "
                                 "whose weights and noise schedule training then starts from"});
    visitor(run.init, RunOption{"init",
                                "a model, checkpoint or run to fine-tune: training starts from its weights, with its "
                                "architecture and, unless told otherwise, its noise schedule; class embeddings are "
                                "drawn anew where the data has another number of classes"});
    visitor(run.steps, RunOption{"steps", "training steps", between(1, 0x1p31)});
    visitor(run.batch, RunOption{"batch", "images a step", between(1, kMaxBatch), {}, Numbers});
    visitor(run.micro_batch, RunOption{"micro_batch",
                                       join_text("most images a pass, to save memory; a pass takes ",
                                                 images_per_chunk(), " times a power of two"),
                                       between(0, kMaxBatch), "the whole batch"});
    visitor(run.max_memory,
            RunOption{"max_memory",
                      "MiB that training may take, previews beside it; passes are as large as fits, if not given",
                      between(0, 0x1p40), "what is free, and the whole batch a pass"});
    visitor(run.seed, RunOption{"seed", "seed of weights, order, noise"});
    visitor(run.lr, RunOption{"lr", "peak learning rate", inside(0, 10), {}, Numbers});
    visitor(run.lr_schedule,
            RunOption{"lr_schedule",
                      "the rate after the warm-up, with its numbers: " + either_of(learning_rate_names()),
                      {},
                      {},
                      Numbers});
    visitor(run.warmup, RunOption{"warmup", "steps of linear warm-up", at_least(0), {}, Numbers});
    visitor(run.adam_betas, RunOption{"adam_betas", "the two decay rates of AdamW", from_to_below(0, 1), {}, Numbers});
    visitor(run.weight_decay, RunOption{"weight_decay", "decoupled weight decay", between(0, 10), {}, Numbers});
    visitor(run.grad_clip, RunOption{"grad_clip", "largest gradient norm", at_least(0), "no clipping", Numbers});
    visitor(run.ema_decay, RunOption{"ema_decay",
                                     "largest decay of the averaged weights, reached by (1+s)^-3/4",
                                     from_to_below(0, 1),
                                     {},
                                     Numbers});
    visitor(run.ema,
            RunOption{"ema",
                      "moving averages kept in one pass, the first of which is the model's weights: decays and "
                      "widths of power functions, as in 0.9999,sigma-rel-0.05,sigma-rel-0.1; not given: the "
                      "one of ema_decay",
                      {},
                      {},
                      Numbers,
                      ""});
    visitor(run.ema_snapshots,
            RunOption{"ema_snapshots",
                      "steps between snapshots of the averages by power functions, from which `ito ema` makes the "
                      "average of any width",
                      at_least(0), "none"});
    visitor(run.precision, RunOption{"precision", "fp32 or bf16 activations (masters are fp32)", {}, {}, Numbers});
    visitor(run.scheduler, RunOption{"scheduler",
                                     "a scheduler_config.json, or a model or checkpoint that holds one: the noise "
                                     "schedule to train with, which checkpoints write back"});
    visitor(run.family,
            RunOption{"family", "how data and noise are mixed, in place of a scheduler: " + either_of(family_names()) +
                                    ", which is the straight path; not given: the scheduler's, or the model's, or vp"});
    visitor(run.reverse, RunOption{"reverse", "how the reverse step is modelled: " + reverse_option_names() +
                                                  "; not given: the scheduler's, or posterior"});
    visitor(run.prediction_type, RunOption{"prediction_type",
                                           "one of " + quantity_names() + "; not given: the scheduler's, or epsilon",
                                           {},
                                           {},
                                           Numbers});
    visitor(run.beta_schedule, RunOption{"beta_schedule",
                                         "linear, scaled_linear, squaredcos_cap_v2 or sigmoid; not given: the "
                                         "scheduler's, or linear",
                                         {},
                                         {},
                                         Numbers});
    visitor(run.variance_type,
            RunOption{"variance_type",
                      "of a step's noise: fixed_small, fixed_large, or learned_range, which the network is taught and "
                      "has twice the outputs for; not given: the scheduler's, or of reverse vlb learned_range, or "
                      "fixed_small"});
    visitor(run.loss, RunOption{"loss",
                                "squared error, hybrid (with 0.001 of the variational bound, for the variance) or "
                                "bound; not given: hybrid for a learned variance, else squared",
                                {},
                                {},
                                Numbers,
                                "squared"});
    visitor(run.loss_weighting, RunOption{"loss_weighting",
                                          "weight of the squared error by timestep, with its numbers as in "
                                          "min-snr:gamma=5: " +
                                              either_of(weighting_names()) + "; not given: the model's, or none",
                                          {},
                                          {},
                                          Numbers,
                                          "none"});
    visitor(run.timestep_sampling,
            RunOption{"timestep_sampling",
                      "how timesteps are drawn, with its numbers: " + either_of(level_draw_names()) +
                          "; not given: the model's, or " + usual_level_draws(),
                      {},
                      {},
                      Numbers,
                      "uniform"});
    visitor(run.flip, RunOption{"flip", "mirror half of the images at random", {}, {}, Numbers});
    visitor(run.class_dropout,
            RunOption{"class_dropout",
                      "chance of an image to be taken without its class, by the last class embedding, which sampling "
                      "with guidance then takes for no class; not given: the model's",
                      from_to_below(0, 1), "never", Numbers, "0.0"});
    visitor(run.resolution, RunOption{"resolution", "resize and crop images to this square", between(0, kMaxImageSide),
                                      "as the model says"});
    visitor(run.stream,
            RunOption{"stream",
                      "fetch images from folders and archives ahead of every step, rather than keep them in "
                      "memory; so are those that have no room there"});
    visitor(run.checkpoint_every, RunOption{"checkpoint_every", "steps between checkpoints, besides the one at the end",
                                            at_least(0), "at the end only"});
    visitor(run.log_every, RunOption{"log_every", "steps between lines of metrics.jsonl", at_least(1)});
    visitor(run.sample_every,
            RunOption{"sample_every", "steps between sample grids", at_least(0), "a quarter of the run"});
    visitor(run.keep_last, RunOption{"keep_last", "checkpoints that stay, the newest", at_least(0), "all"});
    visitor(run.keep_every, RunOption{"keep_every", "checkpoints of these steps stay too", at_least(0), "none"});
    visitor(run.tensorboard, RunOption{"tensorboard",
                                       "also write the curves and sample grids as TensorBoard's events, to "
                                       "OUT/tensorboard"});
    visitor(run.max_skipped,
            RunOption{"max_skipped",
                      "steps in a row with a non-finite loss or gradient (each is skipped) that end the run; a streak "
                      "is counted whole, and seen at the next line of metrics.jsonl",
                      at_least(0), "never"});
    visitor(run.resume,
            RunOption{"resume",
                      "go on from the newest checkpoint of the folder, or start if there is none; options not "
                      "given are the run's own",
                      {},
                      {},
                      Start});
    visitor(run.threads, RunOption{"threads", "threads", between(0, kMaxThreads), "all cores"});
    visitor(run.eager, RunOption{"eager",
                                 "launch every kernel of every step anew, not a captured graph: slower, the same bits; "
                                 "for profiling and for finding a kernel that fails"});
    visitor(run.other_kernels,
            RunOption{"other_kernels",
                      "resume from a checkpoint although the kernels of this machine or library round "
                      "differently; holds for the run from then on"});
  }

  Json json() const;     // every value but those of OptionRole::Start
  Json numbers() const;  // those that the numbers of the run depend on; steps are among them unless the learning rate
                         // does not stretch with them
  Json before() const;   // RunOption::before of every option that has it
  void check() const;    // UserError that names the first option whose value is out of range
};

}  // namespace ito
