// SPDX-License-Identifier: Apache-2.0
// ito sample: draws images from a model into samples.png and samples.safetensors, or with --raw numbers alone. What is
// drawn goes to OUT/parts by the batch, from where the same command goes on (parts_folder.h).
#include <algorithm>
#include <exception>
#include <filesystem>
#include <memory>
#include <sstream>
#include <utility>

#include "engine/io/atomic_file.h"
#include "engine/io/hash.h"
#include "engine/program/compute_type.h"
#include "engine/program/memory_check.h"
#include "engine/reverse/adaptive_process.h"
#include "engine/reverse/reverse_process.h"
#include "engine/reverse/strip.h"
#include "engine/samplers/sampler_options.h"
#include "kernels/seams/choices.h"
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
#include "tools/commands/parts_folder.h"
#include "tools/commands/profile_window.h"
#include "tools/commands/rank_work.h"
#include "tools/commands/sample/pictures.h"
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
constexpr int64_t kMostPictured = 1024;

ClassOf classes_of(const SampleOptions& options, const Network& network) {
  if (network.labels != LabelKind::Index) {
    ITO_USER_CHECK(options.class_number < 0, "--class ", options.class_number, ": this model ",
                   network.labels == LabelKind::None ? "has no classes; leave the flag out"
                                                     : "takes real-valued labels; use --labels");
    return {};
  }
  ITO_USER_CHECK(options.class_number < network.classes, "--class ", options.class_number,
                 ": the model has classes 0 to ", network.classes - 1);
  if (options.class_number >= 0) return [one = options.class_number](int64_t) { return one; };
  return [first = options.first, classes = network.classes](int64_t i) { return (first + i) % classes; };
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

// All that the numbers depend on; `batch`, `threads`, `eager`, `raw` and `npz` are none of it.
Json settings_of(const SampleOptions& o, const Sampler& sampler, const SamplingSettings& settings,
                 const ModelOnDevice& model, const std::vector<RankFact>& facts) {
  const std::vector<SamplerOption> options = options_of(sampler);
  const std::vector<double> values = option_values(sampler, model.scheduler, o.set);
  Json all{{"--class", o.class_number},
           {"--clip-denoised", settings.clip_sample.value_or(model.scheduler.clip_sample) ? "on" : "off"},
           {"--count", o.count},
           {"--first", o.first},
           {"--height", model.network.image.height},
           {"--noise", o.noise.source},
           {"--precision", o.precision},
           {"--reverse", o.reverse},
           {"--sampler", sampler.name},
           {"--seed", o.seed},
           {"--spacing", o.spacing},
           {"--steps", o.steps},
           {"--strip", o.strip},
           {"--width", model.network.image.width},
           {"choice of kernels", kernel_choices()},
           {"model", fingerprint_of(model)}};
  for (size_t i = 0; i < options.size(); ++i)
    all[join_text("--set ", options[i].key)] = value_text(options[i], values[i]);
  for (const RankFact& fact : facts) all[fact.name] = fact.value;
  all.update(guidance_json(o.guidance));
  return all;
}

// Of images that all stand in `samples`, which is then put in its place.
void write_results(const SampleOptions& o, SampleFile& samples, const PartsFolder& parts) {
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  remove_older_pictures(o);
  if (!o.raw) write_grid(path(kGridFile), samples, kMostPictured);
  if (o.strip) {
    const std::vector<uint8_t> strip = read_whole_file(parts.path(kStripFile));
    write_file_atomically(path(kStripFile), strip.data(), strip.size());
  }
  if (o.npz) write_npz_samples(path(kNpzFile), samples);
  samples.put_in_place(path(kSamplesFile));
  parts.remove();
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

// What this process draws: runs of images that are not there yet, in order.
struct Drawing {
  std::string title;
  std::vector<IndexRange> missing;
  int64_t there;       // that no process of this run draws
  int64_t first;       // number of image 0
  const float* noise;  // of the first missing one and all that follow, or null
  int64_t image;       // numbers
  const SampleFacts& facts;

  // draw_gap(gap, its noise, its labels), for each in turn.
  template <class DrawGap>
  void for_each_gap(const DrawGap& draw_gap) const {
    for (const IndexRange& gap : missing) {
      std::vector<int32_t> classes;
      for (int64_t i = gap.first; facts.class_of && i < gap.end(); ++i)
        classes.push_back(static_cast<int32_t>(facts.class_of(i)));
      LabelRows labels(classes.empty() ? nullptr : classes.data());
      if (!facts.values.empty()) labels.values = facts.values.data() + gap.first * facts.label_width;
      draw_gap(gap, noise ? noise + (gap.first - missing.front().first) * image : nullptr, labels);
    }
  }
};

// Puts images where they belong as they come.
class Keeping {
 public:
  // strip: of the first image, or null.
  Keeping(SampleFile& samples, const PartsFolder& parts, int64_t first, const Strip* strip)
      : samples_(samples), parts_(parts), first_(first), strip_(strip) {}

  TakeImages of(const IndexRange& gap) {
    part_ = {gap.first, 0};
    return [this](int64_t number, int64_t n, const DrawnImages& images) {
      const int64_t at = number - first_;
      samples_.write(at, n, images.numbers);
      if (strip_ && at == 0) write_png(parts_.path(kStripFile), strip_->picture(images.numbers.data()));
      parts_.extend(part_, n);
    };
  }

 private:
  SampleFile& samples_;
  const PartsFolder& parts_;
  int64_t first_;
  const Strip* strip_;
  IndexRange part_;
};

// Of the network, by images.
struct Evaluations {
  int64_t sum = 0, images = 0;
  int most = 0;
};

Evaluations draw_adaptively(AdaptiveProcess& process, const Drawing& d, Keeping& keeping) {
  const int64_t before = process.thousandths_of(d.there);
  int64_t all = before;
  for (const IndexRange& gap : d.missing) all += process.thousandths_of(gap.count);
  Progress progress(d.title, all, 1e-3, "images", before);
  progress.watch([&process, before] { return before + process.thousandths(); });
  Evaluations found;
  d.for_each_gap([&](const IndexRange& gap, const float* noise, const LabelRows& labels) {
    process.each(d.first + gap.first, gap.count, noise, labels, keeping.of(gap));
    for (const int evaluations : process.evaluations()) {
      found.sum += evaluations;
      ++found.images;
      found.most = std::max(found.most, evaluations);
    }
  });
  return found;
}

// strip: of the first image, or null.
void draw(ReverseProcess& process, const Drawing& d, Keeping& keeping, const ProfileWindow& profiled, int batch,
          Strip* strip) {
  RowWatch watch = profiled.of_rows(process.stream());
  if (strip)
    watch.after = [&process, strip, after_row = watch.after](int row) {
      if (after_row) after_row(row);
      if (strip->wants(row)) strip->record(process.state().data());
    };
  const int64_t before = process.rows_of(d.there);
  int64_t all = before;
  for (const IndexRange& gap : d.missing) all += process.rows_of(gap.count);
  Progress progress(d.title, all, batch, "image steps", before);
  progress.watch([&process, before] { return before + process.rows_done(); });
  d.for_each_gap([&](const IndexRange& gap, const float* noise, const LabelRows& labels) {
    process.each(d.first + gap.first, gap.count, noise, labels, keeping.of(gap), std::exchange(watch, {}));
  });
}

// Of all ranks, told by the first. All ranks call it.
void tell_evaluations(Communicator& ranks, const Evaluations& own, int64_t count) {
  Evaluations all;
  for (const std::string& text : ranks.gather_text(join_text(own.sum, " ", own.images, " ", own.most))) {
    Evaluations part;
    std::istringstream(text) >> part.sum >> part.images >> part.most;
    all = {all.sum + part.sum, all.images + part.images, std::max(all.most, part.most)};
  }
  if (ranks.rank() > 0 || all.images == 0) return;
  print_note(join_text("evaluations of the network an image: ",
                       static_cast<double>(all.sum) / static_cast<double>(all.images), " in the mean, ", all.most,
                       " at most", all.images < count ? join_text(", of the ", all.images, " drawn now") : ""));
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

  const bool first_rank = ranks.rank() == 0;
  const SampleFacts beside{.class_of = classes_of(o, network),
                           .values = label_values_of(o.labels, network, o.first, o.count),
                           .label_width = network.label_width,
                           .latents = model.model.latents};
  const std::vector<RankFact> facts{file_fact("--initial-noise", o.noise.initial_file),
                                    file_fact("--step-noise", o.noise.steps_file),
                                    labels_fact(beside.values),
                                    {"level statistics", json_of(plan.statistics).dump()}};
  PartsFolder parts(o.out, {.item = "images", .suffix = "", .files = {kSamplesFile, kStripFile}},
                    settings_of(o, sampler, settings, model, facts));
  SampleFile samples(parts.path(kSamplesFile), o.count, network.image, beside);
  check_ranks_alike(ranks, command, model, facts);
  std::vector<IndexRange> there;
  if (first_rank) {
    parts.claim();
    if (samples.is_there() && (!o.strip || std::filesystem::exists(parts.path(kStripFile))))
      there = parts.parts(o.count);
  }
  there = ranges_of(ranks.gather_text(text_of(there)).front());
  const std::vector<IndexRange> missing = missing_of_rank(there, o.count, ranks);
  const int64_t own = items_of(missing), drawn_before = o.count - items_of(missing_of_all(there, o.count));
  const size_t memory_limit = memory_of_rank(ranks, device_memory_limit());
  const IndexRange hull =
      missing.empty() ? IndexRange{} : IndexRange{missing.front().first, missing.back().end() - missing.front().first};
  const SampleNoise noise = sample_noise(o.noise, table, network.image, o.count, hull, o.seed, memory_limit);
  ReverseSettings reverse;
  reverse.batch = static_cast<int>(std::min<int64_t>(o.batch, own));
  reverse.seed = o.seed;
  reverse.capture = !o.eager;
  reverse.compute = compute_type_of(o.precision, "--precision");
  reverse.step_noise = {
      .values = noise.steps.data(), .draws = noise.draws, .images = hull.count, .first = o.first + hull.first};
  reverse.memory_limit = memory_limit;
  // A batch as it comes, and once more in the planes of the file; and the noise that was given.
  const auto images = 2 * static_cast<size_t>(reverse.batch) + static_cast<size_t>(noise.draws * hull.count);
  reverse.kept_images = saturated_product({images, static_cast<size_t>(network.image.size()), sizeof(float)}) +
                        noise.initial.size() * sizeof(float);

  const Drawing drawing{.title = title_of_rank("sampling", ranks),
                        .missing = missing,
                        .there = ranks.size() == 1 ? drawn_before : 0,
                        .first = o.first,
                        .noise = noise.initial.empty() ? nullptr : noise.initial.data(),
                        .image = network.image.size(),
                        .facts = beside};
  std::optional<AdaptiveProcess> adaptive;
  std::optional<ReverseProcess> process;
  if (own && sampler.adaptive)
    adaptive.emplace(network, *plan.adaptive, model.weights.data(), reverse);
  else if (own)
    process.emplace(network, table, model.weights.data(), reverse);
  if (first_rank) {
    make_output_folder(o.out, kSamplesFile);
    parts.begin();
    if (there.empty()) {
      parts.forget_parts();
      try {
        samples.create();
      } catch (...) {
        parts.remove();
        throw;
      }
    } else {
      print_note(join_text("going on: ", drawn_before, " of ", o.count, " images are there"));
    }
  }
  ranks.barrier();  // the file is there
  samples.open();
  Strip strip(table, network.image);
  Strip* const pictured = o.strip && !missing.empty() && missing.front().first == 0 ? &strip : nullptr;
  Keeping keeping(samples, parts, o.first, pictured);
  Evaluations evaluations;
  try {
    if (adaptive) evaluations = draw_adaptively(*adaptive, drawing, keeping);
    if (process) draw(*process, drawing, keeping, profiled, reverse.batch, pictured);
  } catch (...) {
    if (first_rank && parts.parts(o.count).empty()) parts.remove();
    throw;
  }
  tell_evaluations(ranks, evaluations, o.count);  // which all ranks wait for
  if (first_rank) write_results(o, samples, parts);
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
  command
      ->add_option("--out", o->out,
                   "folder for samples.png and samples.safetensors; a run that was ended goes on from its parts/")
      ->required();
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
