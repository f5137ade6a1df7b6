// SPDX-License-Identifier: Apache-2.0
// ito restore: images that could have been measured, by a model, an operator and a solver, into restored.safetensors,
// restored.png and restored.json. What is done stays in OUT/parts until the end (restore/parts.h).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "engine/inverse/restoration.h"
#include "engine/io/hash.h"
#include "engine/program/compute_type.h"
#include "engine/program/memory_check.h"
#include "kernels/seams/choices.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_checks.h"
#include "models/model_on_device.h"
#include "tools/commands/average_flag.h"
#include "tools/commands/clip_flags.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/guidance_flags.h"
#include "tools/commands/label_flag.h"
#include "tools/commands/output_folder.h"
#include "tools/commands/profile_window.h"
#include "tools/commands/rank_work.h"
#include "tools/commands/restore/report.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

constexpr const char* kRestoredFile = "restored.safetensors";
constexpr const char* kPictureFile = "restored.png";
constexpr const char* kReportFile = "restored.json";
constexpr int kMostSteps = 1 << 16;  // a solver of timesteps has as many as the model at most, and says so
constexpr double kSameSigma = 1e-9;  // of sigma_y: what its text may do to it

struct RestoreOptions {
  std::string checkpoint, ema, op, measurements, labels, solver, out, precision = "fp32", profiled;
  std::vector<std::string> set;
  ClipFlags clip;
  GuidanceFlags guidance;
  double sigma_y = 0;
  int64_t first = 0, count = 0;
  int steps = 0, draws = 1, batch = 64, height = 0, width = 0, threads = 0, class_number = -1;
  uint64_t seed = 0;
  bool sigma_y_given = false, steps_given = false, published = false, eager = false;
};

// What needs no model and no file.
void check(const RestoreOptions& o) {
  solver_named(o.solver);
  if (o.sigma_y_given) check_range("--sigma-y", o.sigma_y, 0.0, kMostSigmaY, ", in the units of data in [0, 1]");
  if (o.steps_given) check_range("--steps", o.steps, 1, kMostSteps, "; leave it out for the solver's usual number");
  ITO_USER_CHECK(!o.steps_given || !o.published, "--paper: says the published number of steps, and --steps ", o.steps,
                 " another; leave one of them out");
  check_range("--draws", o.draws, 1, kMostDraws);
  check_at_least<int64_t>("--first", o.first, 0);
  check_at_least<int64_t>("--count", o.count, 0, " (0: all)");
  check_batch(o.batch);
  check_threads(o.threads);
  check_image_size(o.height, o.width);
  check_at_least("--class", o.class_number, -1, " (-1: as the measurements' file says)");
  compute_type_of(o.precision, "--precision");
  clip_of(o.clip);
  check_guidance(o.guidance);
  check_out_is_no_file(o.out);
}

// The file's word, unless a flag says something else.
std::string operator_of(const RestoreOptions& o, const MeasurementFile& file) {
  const std::string& said = file.facts().op;
  ITO_USER_CHECK(!o.op.empty() || !said.empty(), file.path(),
                 ": does not say what operator measured; give it as --operator");
  return o.op.empty() ? said : o.op;
}

double sigma_y_of(const RestoreOptions& o, const MeasurementFile& file) {
  const std::optional<double>& said = file.facts().sigma_y;
  ITO_USER_CHECK(o.sigma_y_given || said, file.path(), ": does not say how noisy it is; give --sigma-y");
  return o.sigma_y_given ? o.sigma_y : *said;
}

void warn_of_differences(const RestoreOptions& o, const MeasurementFacts& facts) {
  const std::string where = o.measurements + " was measured with ";
  if (!o.op.empty() && !facts.op.empty() && o.op != facts.op)
    warn("--operator ", o.op, ": ", where, quote_name(facts.op), "; taking --operator");
  if (o.sigma_y_given && facts.sigma_y && std::fabs(*facts.sigma_y - o.sigma_y) > kSameSigma * *facts.sigma_y)
    warn("--sigma-y ", o.sigma_y, ": ", where, *facts.sigma_y, "; taking --sigma-y");
}

// The measurements of this run.
IndexRange range_of(const RestoreOptions& o, const MeasurementFile& file) {
  ITO_USER_CHECK(o.first < file.count(), "--first ", o.first, ": ", file.path(), " has measurements 0 to ",
                 file.count() - 1);
  const int64_t left = file.count() - o.first;
  ITO_USER_CHECK(o.count <= left, "--count ", o.count, ": ", file.path(), " has ", left,
                 " measurements from --first on");
  const IndexRange range{o.first, o.count ? o.count : left};
  ITO_USER_CHECK(range.first + range.count <= kMostMeasurements, file.path(), ": has measurements beyond ",
                 kMostMeasurements, ", the most that are told apart; choose with --first and --count");
  return range;
}

void check_shape(const RestoreOptions& o, const MeasurementFile& file, const ModelOnDevice& model) {
  const std::optional<ImageShape>& said = file.facts().image;
  const ImageShape& image = model.network.image;
  ITO_USER_CHECK(!said || *said == image, file.path(), ": was measured of images of ", said->channels, " x ",
                 said->height, " x ", said->width, "; the model ", o.checkpoint, " is of ", image.channels, " x ",
                 image.height, " x ", image.width, "; measure images of that size, or take another model");
}

Labels labels_of(const RestoreOptions& o, const Network& network, const Measurements& measured) {
  const auto n = static_cast<size_t>(measured.count);
  if (network.labels != LabelKind::Index)
    ITO_USER_CHECK(o.class_number < 0, "--class ", o.class_number, ": this model ",
                   network.labels == LabelKind::None ? "has no classes; leave the flag out"
                                                     : "takes real-valued labels; use --labels");
  if (network.labels == LabelKind::Value && o.labels.empty())
    return Labels(measured.label_values(o.measurements, network.label_width));
  Labels given(label_values_of(o.labels, network, o.first, measured.count));
  if (network.labels != LabelKind::Index) return given;
  ITO_USER_CHECK(o.class_number < network.classes, "--class ", o.class_number, ": the model has classes 0 to ",
                 network.classes - 1);
  if (o.class_number >= 0) return std::vector<int32_t>(n, o.class_number);
  ITO_USER_CHECK(!measured.labels.empty(), o.measurements, ": has no ", measured.values.empty() ? "labels" : "classes",
                 ", which this model needs; use --class");
  for (size_t i = 0; i < n; ++i)
    ITO_USER_CHECK(measured.labels[i] >= 0 && measured.labels[i] < network.classes, o.measurements, ": measurement ",
                   o.first + static_cast<int64_t>(i), " is of class ", measured.labels[i],
                   "; the model has classes 0 to ", network.classes - 1);
  return std::vector<int32_t>(measured.labels.begin(), measured.labels.end());
}

// Nothing that is read is written over.
void check_places(const RestoreOptions& o, const Model& model) {
  check_out_is_outside(o.out, model.files.directory);
  std::error_code none_there;
  ITO_USER_CHECK(!std::filesystem::equivalent(std::filesystem::path(o.out) / kRestoredFile, o.measurements, none_there),
                 "--out ", o.out, ": its ", kRestoredFile, " is --measurements ", o.measurements,
                 "; choose another folder");
}

std::string hash_text_of(const std::vector<float>& values) {
  return std::to_string(hash_bytes(kHashStart, values.data(), values.size() * sizeof(float)));
}

// Every option of the solver, as words.
Json options_of(const Solver& solver, const std::vector<std::string>& set) {
  const std::vector<SamplerOption> options(solver.options.begin(), solver.options.end());
  std::vector<double> values;
  for (const SamplerOption& option : options) values.push_back(option.usual);
  set_option_values(join_text("solver ", solver.name), options, set, values);
  Json words = Json::object();
  for (size_t i = 0; i < options.size(); ++i) words[options[i].key] = value_text(options[i], values[i]);
  return words;
}

// All that the numbers depend on; `batch`, `threads` and `eager` are none of it.
Json settings_of(const RestoreOptions& o, const IndexRange& range, const std::string& op, double sigma_y, int steps,
                 const ModelOnDevice& model, const Measurements& measured, const Labels& labels, HostOperator& host) {
  const bool clip = clip_of(o.clip).value_or(model.scheduler.clip_sample);
  const std::vector<float> of_classes(labels.classes.begin(), labels.classes.end());
  Json all{{"--operator", op},
           {"--sigma-y", sigma_y},
           {"--solver", o.solver},
           {"--steps", steps},
           {"--set", options_of(solver_named(o.solver), o.set)},
           {"--draws", o.draws},
           {"--seed", o.seed},
           {"--first", range.first},
           {"--count", range.count},
           {"--precision", o.precision},
           {"--clip-denoised", clip ? "on" : "off"},
           {"choice of kernels", kernel_choices()},
           {"classes", hash_text_of(of_classes)},
           {"file of the operator", std::to_string(host.fingerprint())},
           {"measurements", hash_text_of(measured.y)},
           {"model", fingerprint_of(model)}};
  if (!labels.values.empty()) all["labels"] = hash_text_of(labels.values);
  return all;
}

// For what the options do not say.
std::vector<RankFact> facts_of(const Json& settings) {
  std::vector<RankFact> facts;
  for (const auto& [key, value] : settings.items())
    if (!key.starts_with("--") && key != "model") facts.push_back({key, value.dump()});
  return facts;
}

// The images of one group, measurements at .. at+n-1 of the run, into the places of theirs.
void keep(const Restored& restored, int64_t at, int64_t n, RestoredImages& images) {
  const int64_t size = images.image.size();
  const auto put = [&](const std::vector<float>& from, int64_t each, std::vector<float>& to) {
    const std::vector<float> planar = to_planar(from, n * each, images.image);
    std::copy(planar.begin(), planar.end(), to.begin() + (at - images.first) * each * size);
  };
  put(restored.samples, images.draws, images.samples);
  put(restored.mean, 1, images.mean);
  put(restored.deviation, 1, images.deviation);
}

// What is restored, and where it goes: the first rank keeps it all, the others leave it in the parts.
struct Restoring {
  const IndexRange& range;
  const Measurements& measured;
  const Labels& labels;
  int label_width;
  const RestoreParts& parts;
  const ProfileWindow& profiled;
  RestoredImages* images;  // of all, or null
  int draws;
};

// Returns the parts that it added.
std::vector<IndexRange> restore_missing(const Restoring& r, Restoration& restoration, const ImageShape& image,
                                        const std::vector<IndexRange>& ranges, const std::string& title) {
  const int64_t m = static_cast<int64_t>(r.measured.y.size()) / r.measured.count;
  int64_t rows = 0;
  for (const IndexRange& gap : ranges) rows += restoration.rows_of(gap.count);
  Progress progress(title, rows, restoration.images_at_once(), "image steps");
  progress.watch([&restoration] { return restoration.rows_done(); });
  RowWatch watch = r.profiled.of_rows(restoration.stream());
  std::vector<IndexRange> added;
  for (const IndexRange& gap : ranges)
    for (int64_t at = gap.first; at < gap.end(); at += restoration.group()) {
      const int64_t n = std::min<int64_t>(restoration.group(), gap.end() - at);
      std::optional<RestoredImages> group;
      if (!r.images) group.emplace(n, r.draws, image, at);
      RestoredImages& images = group ? *group : *r.images;
      keep(restoration.restore(r.range.first + at, n, r.measured.y.data() + at * m,
                               r.labels.rows().from(at, r.label_width), std::exchange(watch, {})),
           at, n, images);
      r.parts.add(images, at, n);
      added.push_back({at, n});
    }
  return added;
}

// The first rank's images become whole by the parts that the others added. They have told it of them, so that none is
// overlooked where a folder's list is old, as on a network's file system. All ranks call it.
void take_parts_of_others(Communicator& ranks, const RestoreParts& parts, const std::vector<IndexRange>& added,
                          RestoredImages* images) {
  const std::vector<std::string> all = ranks.gather_text(text_of(added));
  if (!images) return;
  for (size_t rank = 1; rank < all.size(); ++rank)
    for (const IndexRange& part : ranges_of(all[rank])) parts.read(*images, part);
}

// --sigma-y -> sigma_y
std::string key_of(const std::string& flag) {
  std::string key = flag.substr(2);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

// Those of an earlier run in the same folder, so that none stands beside images that it does not show.
void remove_older(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path, error))) return;
  std::filesystem::remove(path, error);
  if (error) warn(path, ": is of images restored before: ", error.message());
}

void write_results(const RestoreOptions& o, const Json& settings, const RestoredImages& images,
                   const Measurements& measured, HostOperator& host, double noise, const RestoreParts& parts) {
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  const int threads = o.threads ? o.threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  RestoreReport report = report_on(images, measured, host, noise, threads);
  for (const auto& [key, value] : settings.items())
    if (key.starts_with("--")) report.json[key_of(key)] = value;
  report.json["noise"] = noise;
  const RestorePicture picture = picture_of(images, measured, host);
  for (const char* name : {kPictureFile, kReportFile}) remove_older(path(name));
  images.write(path(kRestoredFile), 0, images.count);
  write_png(path(kPictureFile), picture.image);
  write_json_file(path(kReportFile), report.json);
  parts.remove();
  print_note(join_text(kPictureFile, ": a row is ", picture.columns));
  print_result(report.line);
  for (const char* name : {kPictureFile, kReportFile, kRestoredFile}) print_result(path(name));
}

void run(const RestoreOptions& o, const CLI::App& command, Communicator& ranks) {
  check(o);
  const ProfileWindow profiled(o.profiled);
  set_threads_of_rank(ranks, o.threads);
  const MeasurementFile file(o.measurements);
  const std::string op_text = operator_of(o, file);
  const double sigma_y = sigma_y_of(o, file), noise = 2 * sigma_y;  // of images in [-1, 1]
  const IndexRange range = range_of(o, file);
  const ModelOnDevice model = with_guidance(load_model(o.checkpoint, o.height, o.width, o.ema), o.guidance);
  check_places(o, model.model);
  check_shape(o, file, model);
  const Network& network = model.network;
  const NoiseSchedule schedule(model.scheduler);
  check_model(model, schedule);

  const Solver& solver = solver_named(o.solver);
  HostOperator host(op_text, network.image);
  const std::unique_ptr<MeasurementOperator> op = measurement_operator(op_text, network.image);
  const SolverSettings settings{
      .steps = o.steps, .published = o.published, .clip_sample = clip_of(o.clip), .set = o.set};
  RestorePlan plan = restore_plan(solver, schedule, settings, *op, noise);
  check_timesteps(model, plan.table, "use another solver or --steps",
                  "use another solver, or --steps that divide the model's timesteps");
  profiled.check_rows(static_cast<int64_t>(plan.table.rows.size()), join_text("solver ", solver.name));
  const Measurements measured = file.read(*op, op_text, range.first, range.count);
  const Labels labels = labels_of(o, network, measured);

  const int steps = o.steps_given ? o.steps : o.published ? solver.published_steps : solver.usual_steps;
  Json identity = settings_of(o, range, op_text, sigma_y, steps, model, measured, labels, host);
  identity.update(guidance_json(o.guidance));
  const bool first_rank = ranks.rank() == 0;
  const size_t kept =
      saturated_product({static_cast<size_t>(first_rank ? range.count : 0), static_cast<size_t>(o.draws) + 3,
                         static_cast<size_t>(network.image.size()), sizeof(float)});
  check_memory("restoring", {{"images", kept}}, host_memory_limit(), "lower the draws, or the count");
  RestoreParts parts(o.out, identity);
  check_ranks_alike(ranks, command, model, facts_of(identity));
  std::optional<RestoredImages> images;
  std::vector<IndexRange> there;
  if (first_rank) {
    images.emplace(range.count, o.draws, network.image);
    there = parts.load(*images);
  }
  there = ranges_of(ranks.gather_text(text_of(there)).front());
  const std::vector<IndexRange> ranges = missing_of_rank(there, range.count, ranks);
  RestoreSettings how;
  how.draws = o.draws;
  how.batch = static_cast<int>(std::min<int64_t>(o.batch, items_of(ranges) * o.draws));
  how.seed = o.seed;
  how.compute = compute_type_of(o.precision, "--precision");
  how.capture = !o.eager;
  how.memory_limit = memory_of_rank(ranks, device_memory_limit());
  if (device_memory_is_the_hosts()) how.kept_bytes = kept;
  std::optional<Restoration> restoration;
  if (!ranges.empty()) restoration.emplace(network, model.weights.data(), *op, std::move(plan), how);
  if (!ranges.empty() && first_rank) {  // the first rank has some if any rank has
    make_output_folder(o.out, kRestoredFile);
    warn_of_differences(o, file.facts());
    parts.begin();
  }
  ranks.barrier();  // the folder of the parts is there
  RestoredImages* const all = images ? &*images : nullptr;
  std::vector<IndexRange> added;
  if (restoration)
    added = restore_missing({range, measured, labels, network.label_width, parts, profiled, all, o.draws}, *restoration,
                            network.image, ranges, title_of_rank("restoring", ranks));
  take_parts_of_others(ranks, parts, added, all);
  if (first_rank) write_results(o, identity, *images, measured, host, noise, parts);
}

std::string restore_help() {
  std::string text = "Solvers, and what --set takes for each:\n";
  for (const std::string& line : solver_lines()) text += "  " + line + "\n";
  text += "Operators; several joined by + work one after the other, the first on the image:\n";
  for (const std::string& line : operator_lines()) text += "  " + line + "\n";
  return text;
}

}  // namespace

void add_restore_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command = app.add_subcommand("restore", "images that could have been measured, by a model and a solver");
  auto o = std::make_shared<RestoreOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--checkpoint", o->checkpoint,
                   "a run, a checkpoint, a diffusers directory or the file of an exact network")
      ->required();
  add_average_flag(*command, o->ema);
  command->add_option("--measurements", o->measurements, "what ito measure wrote")->required();
  command->add_option("--solver", o->solver, "which, of those below")->required();
  command
      ->add_option("--out", o->out,
                   "folder for restored.safetensors, restored.png and restored.json; a run that was ended goes on "
                   "from its parts/")
      ->required();
  command->add_option("--operator", o->op, "what was measured, NAME[:ARGS], of those below; empty: as the file says");
  CLI::Option* sigma_y =
      command->add_option("--sigma-y", o->sigma_y, "standard deviation of the noise, in the units of data in [0, 1]");
  sigma_y->default_str("as the file says");
  CLI::Option* steps = command->add_option("--steps", o->steps, "steps of the solver");
  steps->default_str("the solver's usual");
  command->add_flag("--paper", o->published, "as many steps as the solver's paper has");
  command->add_option("--draws", o->draws, "images of each measurement; draw d is the same however many there are");
  command->add_option("--seed", o->seed, "seed of all noise");
  command->add_option("--set", o->set, "an option of the solver, key=value; may be given more than once")
      ->take_all()
      ->allow_extra_args(false);
  add_clip_flags(*command, o->clip);
  add_guidance_flags(*command, o->guidance);
  command->add_option("--batch", o->batch, "images at a time");
  command->add_option("--first", o->first, "index of the first measurement");
  command->add_option("--count", o->count, "measurements; 0: all");
  command->add_option("--class", o->class_number, "class of every image; -1: as the measurements' file says");
  command->add_option("--labels", o->labels, join_text(kLabelsHelp, "; empty: as the measurements' file says"));
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--height", o->height, "image height; 0: as the model says");
  command->add_option("--width", o->width, "image width; 0: as the model says");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_flag("--eager", o->eager, "launch every kernel anew, not a captured graph: slower, the same bits");
  command->add_option("--profile-steps", o->profiled, ProfileWindow::kRowsHelp);
  command->footer(restore_help);
  command->callback([o, sigma_y, steps, command, &ranks] {
    o->sigma_y_given = sigma_y->count() > 0;
    o->steps_given = steps->count() > 0;
    run(*o, *command, ranks);
  });
}

}  // namespace ito
