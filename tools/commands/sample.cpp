// SPDX-License-Identifier: Apache-2.0
// ito sample: draws images from a model into samples.png and samples.safetensors, or with --raw numbers alone.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>

#include "engine/io/hash.h"
#include "engine/io/npz.h"
#include "engine/io/safetensors.h"
#include "engine/io/sample_grid.h"
#include "engine/program/compute_type.h"
#include "engine/program/memory_check.h"
#include "engine/reverse/adaptive_process.h"
#include "engine/reverse/reverse_process.h"
#include "engine/reverse/strip.h"
#include "engine/samplers/sampler_options.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_checks.h"
#include "models/model_on_device.h"
#include "models/sampling_plan.h"
#include "tools/commands/average_flag.h"
#include "tools/commands/clip_flags.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/guidance_flags.h"
#include "tools/commands/label_flag.h"
#include "tools/commands/output_folder.h"
#include "tools/commands/profile_window.h"
#include "tools/commands/rank_work.h"
#include "tools/commands/sample_noise.h"
#include "tools/run_scheduler.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct SampleOptions {
  std::string checkpoint, ema, labels, out, scheduler, sampler, precision = "fp32", spacing, reverse, profiled;
  NoiseOptions noise;
  ClipFlags clip;
  GuidanceFlags guidance;
  std::vector<std::string> set;
  int64_t count = 64, first = 0;
  int batch = 64, steps = 0, threads = 0, height = 0, width = 0, class_number = -1;
  uint64_t seed = 0;
  bool steps_given = false, raw = false, strip = false, npz = false, eager = false;
};

constexpr const char* kSamplesFile = "samples.safetensors";
constexpr const char* kGridFile = "samples.png";
constexpr const char* kStripFile = "strip.png";
constexpr const char* kNpzFile = "samples.npz";
constexpr int64_t kMostPictured = 1024;  // images in samples.png

std::vector<int32_t> classes_of(const SampleOptions& options, const Network& network) {
  if (network.labels != LabelKind::Index) {
    ITO_USER_CHECK(options.class_number < 0, "--class ", options.class_number, ": this model ",
                   network.labels == LabelKind::None ? "has no classes; leave the flag out"
                                                     : "takes real-valued labels; use --labels");
    return {};
  }
  ITO_USER_CHECK(options.class_number < network.classes, "--class ", options.class_number,
                 ": the model has classes 0 to ", network.classes - 1);
  std::vector<int32_t> classes(options.count);
  for (int64_t i = 0; i < options.count; ++i)
    classes[i] =
        options.class_number >= 0 ? options.class_number : static_cast<int32_t>((options.first + i) % network.classes);
  return classes;
}

// What needs no model.
void check(const SampleOptions& o) {
  check_range<int64_t>("--count", o.count, 1, 1 << 24);
  ITO_USER_CHECK(o.first >= 0 && o.first <= (int64_t{1} << 32) - o.count, "--first ", o.first,
                 ": expected 0 to 2^32 less --count");
  check_batch(o.batch);
  check_threads(o.threads);
  check_image_size(o.height, o.width);
  ITO_USER_CHECK(!o.steps_given || o.steps >= 1, "--steps ", o.steps,
                 ": expected at least 1; leave it out for the sampler's usual number");
  check_at_least("--class", o.class_number, -1, " (-1: all classes in turn)");
  ITO_USER_CHECK(!o.raw || !o.strip, "--strip: is a picture, and --raw writes none; leave one of them out");
  check_noise_options(o.noise, o.first);
  clip_of(o.clip);
  check_guidance(o.guidance);
  if (!o.sampler.empty()) sampler_named(o.sampler);
  if (!o.reverse.empty()) reverse_option_named(o.reverse, "--reverse");
}

// The model, with the scheduler that is asked for in the place of its own.
ModelOnDevice load(const SampleOptions& o) {
  ModelOnDevice model = load_model(o.checkpoint, o.height, o.width, o.ema);
  if (o.scheduler.empty()) return model;
  model.model.files.scheduler = scheduler_file(o.scheduler);
  model.scheduler = model.model.scheduler();
  return model;
}

// Nothing that is read is written over, and no samples go where a training run removes checkpoints.
void check_places(const SampleOptions& o, const Model& model) {
  check_out_is_outside(o.out, model.files.directory);
  const std::pair<const char*, const std::string&> read[] = {{"--initial-noise", o.noise.initial_file},
                                                             {"--step-noise", o.noise.steps_file}};
  for (const auto& [flag, file] : read) {
    std::error_code none_there;
    ITO_USER_CHECK(!std::filesystem::equivalent(std::filesystem::path(o.out) / kSamplesFile, file, none_there),
                   "--out ", o.out, ": its ", kSamplesFile, " is ", flag, " ", file, "; choose another folder");
  }
}

// The pictures of images that were drawn there before: should one of the new files fail, none stands beside the others
// that shows something else.
void remove_older_pictures(const SampleOptions& o) {
  for (const char* name : {kGridFile, kStripFile, kNpzFile}) {
    const std::filesystem::path picture = std::filesystem::path(o.out) / name;
    std::error_code error;
    if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(picture, error))) continue;
    const bool removed = std::filesystem::remove(picture, error);
    const bool replaced = name == kNpzFile ? o.npz : !o.raw && (name != kStripFile || o.strip);
    if (removed && !replaced) print_note("removed " + picture.string() + ", which showed images drawn before");
    if (!removed && !replaced) warn(picture.string(), ": shows images drawn before: ", error.message());
  }
}

// What every image was drawn for, one of the two or neither.
struct DrawnLabels {
  std::vector<int32_t> classes;
  std::vector<float> values;   // (count, width)
  std::vector<int64_t> shape;  // of the values
};

// As guided-diffusion's evaluator reads samples: `arr_0`, bytes (N, H, W, C), and the classes as `arr_1`.
void write_npz_samples(const std::string& path, const SampleOptions& o, const ImageShape& image,
                       const DrawnImages& drawn, const DrawnLabels& of) {
  std::vector<NpzArray> arrays{
      {"arr_0", TensorType::U8, {o.count, image.height, image.width, image.channels}, drawn.bytes}};
  const std::vector<int64_t> labels(of.classes.begin(), of.classes.end());
  if (!labels.empty())
    arrays.push_back({"arr_1",
                      TensorType::I64,
                      {o.count},
                      {reinterpret_cast<const uint8_t*>(labels.data()), labels.size() * sizeof(int64_t)}});
  if (!of.values.empty())
    arrays.push_back({"arr_1",
                      TensorType::F32,
                      of.shape,
                      {reinterpret_cast<const uint8_t*>(of.values.data()), of.values.size() * sizeof(float)}});
  write_npz(path, arrays);
}

void write_images(const SampleOptions& o, const ImageShape& image, const DrawnImages& drawn, const DrawnLabels& labels,
                  const Strip& strip, const std::optional<LatentScale>& latents) {
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  SafetensorsWriter writer;
  writer.add("samples", {o.count, image.channels, image.height, image.width}, to_planar(drawn.numbers, o.count, image));
  if (!labels.classes.empty()) writer.add_i64("labels", {o.count}, {labels.classes.begin(), labels.classes.end()});
  if (!labels.values.empty()) writer.add("labels", labels.shape, labels.values);
  if (latents) add_latent_scale(writer, *latents);
  writer.write(path(kSamplesFile));
  remove_older_pictures(o);
  if (!o.raw) write_png(path(kGridFile), sample_grid(drawn.bytes, std::min<int64_t>(o.count, kMostPictured), image));
  if (o.strip) write_png(path(kStripFile), strip.picture(drawn.numbers.data()));
  if (o.npz) write_npz_samples(path(kNpzFile), o, image, drawn, labels);
  if (!o.raw) print_result(path(kGridFile));
  print_result(path(kSamplesFile));
  if (o.strip) print_result(path(kStripFile));
  if (o.npz) print_result(path(kNpzFile));
}

// A sampler that chooses its own steps has no table, and no moments to picture.
void check_adaptive(const SampleOptions& o, const Sampler& sampler) {
  ITO_USER_CHECK(!o.steps_given, "--steps ", o.steps, ": sampler ", sampler.name,
                 " chooses its own steps; leave the flag out, and set rtol and atol");
  for (const auto& [flag, given] : {std::pair{"--strip", o.strip}, {"--profile-steps", !o.profiled.empty()}})
    ITO_USER_CHECK(!given, flag, ": sampler ", sampler.name, " has no steps that all images share; leave the flag out");
}

// The images of this process: those of all, or of several ranks its share.
struct Drawing {
  std::string title;
  int64_t first, count;
  const float* noise;  // or null
  LabelRows labels;
};

DrawnImages draw_adaptively(AdaptiveProcess& process, const Drawing& d) {
  Progress progress(d.title, process.thousandths_of(d.count), 1e-3, "images");
  progress.watch([&process] { return process.thousandths(); });
  return process.all(d.first, d.count, d.noise, d.labels);
}

// strip: of the first image, or null.
DrawnImages draw(ReverseProcess& process, const Drawing& d, const ProfileWindow& profiled, int batch, Strip* strip) {
  RowWatch watch = profiled.of_rows(process.stream());
  if (strip)
    watch.after = [&process, strip, after_row = watch.after](int row) {
      if (after_row) after_row(row);
      if (strip->wants(row)) strip->record(process.state().data());
    };
  Progress progress(d.title, process.rows_of(d.count), batch, "image steps");
  progress.watch([&process] { return process.rows_done(); });
  return process.all(d.first, d.count, d.noise, d.labels, watch);
}

void tell_evaluations(const std::vector<int>& evaluations) {
  const double sum = std::accumulate(evaluations.begin(), evaluations.end(), 0.0);
  print_note(join_text("evaluations of the network an image: ", sum / static_cast<double>(evaluations.size()),
                       " in the mean, ", *std::max_element(evaluations.begin(), evaluations.end()), " at most"));
}

void run(const SampleOptions& o, const CLI::App& command, Communicator& ranks) {
  check(o);
  const ProfileWindow profiled(o.profiled);
  check_out_is_no_file(o.out);
  set_threads_of_rank(ranks, o.threads);
  const ModelOnDevice model = with_guidance(load(o), o.guidance);
  check_places(o, model.model);
  const Network& network = model.network;
  const NoiseSchedule schedule(model.scheduler);
  check_model(model, schedule);
  const Sampler& sampler = sampler_of(model, o.sampler);
  SamplingSettings settings;
  settings.steps = o.steps;
  if (o.steps_given)
    check_range("--steps", o.steps, 1, schedule.steps(), ", the timesteps that the model was trained on");
  settings.clip_sample = clip_of(o.clip);
  if (!o.spacing.empty()) settings.timestep_spacing = timestep_spacing_of(o.spacing, "--spacing");
  settings.set = o.set;
  settings.reverse = o.reverse;
  if (sampler.adaptive) check_adaptive(o, sampler);
  const SamplingPlan plan = sampling_plan(model, schedule, sampler, settings);
  const ReverseTable& table = plan.table;
  if (!sampler.adaptive)
    profiled.check_rows(static_cast<int64_t>(table.rows.size()), join_text("sampler ", sampler.name));

  const ItemShares shares(ranks, o.count);
  const int64_t own = shares.own().count;
  const size_t memory_limit = memory_of_rank(ranks, device_memory_limit());
  const SampleNoise noise = sample_noise(o.noise, table, network.image, shares, o.seed, memory_limit);
  DrawnLabels labels{.classes = classes_of(o, network),
                     .values = label_values_of(o.labels, network, o.first, o.count),
                     .shape = {o.count}};
  if (network.label_width > 1) labels.shape.push_back(network.label_width);
  check_ranks_alike(ranks, command, model,
                    {file_fact("--initial-noise", o.noise.initial_file),
                     file_fact("--step-noise", o.noise.steps_file),
                     {"labels", join_text("hash ", hash_bytes(kHashStart, labels.values.data(),
                                                              labels.values.size() * sizeof(float)))},
                     {"level statistics", json_of(plan.statistics).dump()}});
  ReverseSettings reverse;
  reverse.batch = static_cast<int>(std::min<int64_t>(o.batch, own));
  reverse.seed = o.seed;
  reverse.capture = !o.eager;
  reverse.compute = compute_type_of(o.precision, "--precision");
  reverse.delivered.bytes = !o.raw;
  reverse.step_noise = {.values = noise.steps.data(), .draws = noise.draws, .images = own};
  reverse.memory_limit = memory_limit;
  // Twice: once more in the planes of the file.
  const auto images = static_cast<size_t>(2 * shares.kept().count + noise.draws * own);
  reverse.kept_images = saturated_product({images, static_cast<size_t>(network.image.size()), sizeof(float)});

  LabelRows all_labels(labels.classes.empty() ? nullptr : labels.classes.data());
  if (!labels.values.empty()) all_labels.values = labels.values.data();
  const Drawing drawing{.title = title_of_rank("sampling", ranks),
                        .first = o.first + shares.own().first,
                        .count = own,
                        .noise = noise.initial.empty() ? nullptr : noise.initial.data(),
                        .labels = all_labels.from(shares.own().first, network.label_width)};
  const auto make_folder = [&] {
    if (shares.first_rank()) make_output_folder(o.out, kSamplesFile);
  };
  Strip strip(table, network.image);
  DrawnImages drawn;
  std::vector<int> evaluations;
  if (own && sampler.adaptive) {
    AdaptiveProcess process(network, *plan.adaptive, model.weights.data(), reverse);
    make_folder();
    drawn = draw_adaptively(process, drawing);
    evaluations = process.evaluations();
  } else if (own) {
    ReverseProcess process(network, table, model.weights.data(), reverse);
    make_folder();
    drawn = draw(process, drawing, profiled, reverse.batch, o.strip && shares.first_rank() ? &strip : nullptr);
  }
  shares.collect(drawn.numbers);
  shares.collect(drawn.bytes);
  shares.collect(evaluations);
  if (!shares.first_rank()) return;
  if (!evaluations.empty()) tell_evaluations(evaluations);
  write_images(o, network.image, drawn, labels, strip, model.model.latents);
}

// Every sampler with its options, for --help.
std::string samplers_help() {
  std::string text = "Samplers, and what --set takes for each:\n";
  for (const Sampler* sampler : samplers()) {
    text += join_text("  ", sampler->name, ": ", sampler->summary, "; ",
                      sampler->adaptive      ? "its own"
                      : sampler->usual_steps ? std::to_string(sampler->usual_steps)
                                             : "all",
                      " steps usually\n");
    for (const std::string& line : option_lines(options_of(*sampler))) text += "    " + line + "\n";
  }
  text += "Reverse options:\n";
  for (const std::string& line : reverse_option_lines()) text += "  " + line + "\n";
  return text;
}

}  // namespace

void add_sample_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command = app.add_subcommand("sample", "draw images from a model");
  auto o = std::make_shared<SampleOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--checkpoint", o->checkpoint,
                   "a run, a checkpoint, a diffusers directory or the file of an exact network")
      ->required();
  add_average_flag(*command, o->ema);
  command->add_option("--out", o->out, "folder for samples.png and samples.safetensors")->required();
  command->add_option("--count", o->count, "images to draw");
  command->add_option("--first", o->first, "index of the first image; image i is the same in every run of a seed");
  command->add_option("--batch", o->batch, "images at a time");
  command->add_option("--seed", o->seed, "seed of all noise");
  command->add_option("--scheduler", o->scheduler,
                      "a scheduler_config.json, or a folder with one, in place of the model's own");
  command->add_option("--sampler", o->sampler, "which, of those below; empty: as the scheduler says");
  CLI::Option* steps = command->add_option("--steps", o->steps, "steps of the sampler");
  steps->default_str("the sampler's usual");
  command->add_option("--set", o->set, "an option of the sampler, key=value; may be given more than once")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--reverse", o->reverse,
                      "how a step of ddpm is modelled, of those below; empty: as the model was trained");
  command->add_option("--spacing", o->spacing, "leading, linspace or trailing; empty: as the scheduler says");
  command->add_option("--class", o->class_number, "class of every image; -1: all in turn");
  command->add_option("--labels", o->labels, kLabelsHelp);
  add_clip_flags(*command, o->clip);
  add_guidance_flags(*command, o->guidance);
  command->add_option(
      "--noise", o->noise.source,
      "philox: image i is the same in every run of a seed; torch-cpu: what the seed means to PyTorch on "
      "a CPU, x_T of all images and then a draw a step");
  command->add_option("--initial-noise", o->noise.initial_file,
                      "safetensors file with `noise` (N, C, H, W) in place of the standard normals of x_T, which "
                      "samplers of sigma space scale to their first level");
  command->add_option("--step-noise", o->noise.steps_file,
                      "safetensors file with `noise` (draws, N, C, H, W) in place of the normals that the steps draw");
  command->add_flag("--raw", o->raw, "write the numbers of samples.safetensors alone, for samples that are no images");
  command->add_flag("--strip", o->strip, "also write strip.png: the first image noised and denoised");
  command->add_flag("--npz", o->npz, "also write samples.npz: arr_0, bytes (N, H, W, C), and the classes as arr_1");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--height", o->height, "image height; 0: as the model says");
  command->add_option("--width", o->width, "image width; 0: as the model says");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_flag("--eager", o->eager, "launch every kernel anew, not a captured graph: slower, the same bits");
  command->add_option("--profile-steps", o->profiled, ProfileWindow::kRowsHelp);
  command->footer(samplers_help);
  command->callback([o, steps, command, &ranks] {
    o->steps_given = steps->count() > 0;
    run(*o, *command, ranks);
  });
}

}  // namespace ito
