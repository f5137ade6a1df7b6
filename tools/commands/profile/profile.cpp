// SPDX-License-Identifier: Apache-2.0
// ito profile: where the time of a training step or a reverse step goes, kernel by kernel and layer by layer, without
// any profiler. Launches are timed one by one: nothing is captured and, on a GPU, each is waited for, which adds some
// microseconds to each. The step's own time is that of steps as they usually run.
#include <algorithm>
#include <memory>

#include "engine/data/load_dataset.h"
#include "engine/data/order.h"
#include "engine/io/atomic_file.h"
#include "engine/program/compute_type.h"
#include "engine/reverse/reverse_process.h"
#include "engine/samplers/sampler.h"
#include "engine/training/trainer.h"
#include "kernels/seams/memory_limit.h"
#include "kernels/seams/profiler.h"
#include "models/model.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/profile/report.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct ProfileOptions {
  std::string what = "train", model = "demo", precision = "fp32", data, trace, nodes;
  int batch = 64, steps = 10, threads = 0, size = 0, rows = 20, largest = 0;
  bool json = false;
};

constexpr int kReverseRows = 10;  // of sampling as it usually runs; launches are timed over one

// What is profiled: steps one by one, captured or not.
class Work {
 public:
  Work(const ProfileOptions& o, bool capture) : o_(o), rows_(capture ? kReverseRows : 1), schedule_(SchedulerConfig{}) {
    network_ = model_of(o.model).network(o.size, o.size);
    labels_.resize(network_.labels == LabelKind::Index ? o.batch : 0);
    values_.resize(network_.labels == LabelKind::Value ? o.batch * network_.label_width : 0);
    const DType compute = compute_type_of(o.precision, "--precision");
    if (o.what == "train") {
      TrainSettings settings;
      settings.batch = o.batch;
      settings.compute = compute;
      settings.capture = capture;
      settings.learning_rate.steps = 1 << 20;
      trainer_ = std::make_unique<Trainer>(network_, schedule_, settings, device_memory_limit());
      trainer_->set_weights(initial_weights(trainer_->layout(), 1));
      images_.resize(o.batch * network_.image.size());
      for (size_t i = 0; i < images_.size(); ++i) images_[i] = static_cast<float>(i * 2654435761u % 255) / 127.5f - 1;
      return;
    }
    weights_ = DeviceBuffer<float>(parameters_of(network_).arena_floats(), "weights");
    Stream stream;
    weights_.upload(stream, initial_weights(parameters_of(network_), 1).data());
    ReverseSettings reverse;
    reverse.batch = o.batch;
    reverse.compute = compute;
    reverse.capture = capture;
    reverse.memory_limit = device_memory_limit();
    SamplingSettings settings;
    settings.steps = rows_;
    process_ = std::make_unique<ReverseProcess>(network_, sampling_table(sampler_named("ddpm"), schedule_, settings),
                                                weights_.data(), reverse);
  }

  // One training step; of sampling a batch, which is steps() reverse steps. by_rows: each a graph of its own, as they
  // are where a profiler looks at rows.
  void run(bool by_rows = false) {
    const Range range("step");
    LabelRows labels(labels_.empty() ? nullptr : labels_.data());
    if (!values_.empty()) labels.values = values_.data();
    if (process_) {
      process_->all(0, o_.batch, nullptr, labels, by_rows ? RowWatch{.after = [](int) {}} : RowWatch());
    } else {
      trainer_->step(images_.data(), labels);
      trainer_->stream().synchronize();
    }
  }
  int steps() const { return process_ ? rows_ : 1; }
  const Program& program() const { return process_ ? process_->program() : trainer_->program(); }
  Stream& stream() { return process_ ? process_->stream() : trainer_->stream(); }
  ImageShape image() const { return network_.image; }

 private:
  ProfileOptions o_;
  int rows_;
  NoiseSchedule schedule_;
  Network network_;
  DeviceBuffer<float> weights_;
  std::vector<float> images_;
  std::vector<int32_t> labels_;
  std::vector<float> values_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<ReverseProcess> process_;
};

// Seconds of making a batch from the data, as training does it.
double loader_seconds(const ProfileOptions& o, const ImageShape& image) {
  LoadOptions options;
  if (image.channels == 1 || image.channels == 3) options.channels = image.channels;
  options.height = image.height;
  options.width = image.width;
  options.threads = o.threads;
  options.memory_limit = host_memory_limit();
  const Dataset data = load_dataset(o.data, options);
  DataOrder order(0, data.count);
  std::vector<float> batch(static_cast<size_t>(o.batch) * data.image_size());
  std::vector<double> times;
  for (int step = 0; step < o.steps; ++step)
    times.push_back(seconds_of([&] {
      for (int i = 0; i < o.batch; ++i) {
        const int64_t position = int64_t{step} * o.batch + i;
        data.image_f32(order.index(position), order.flip(position), batch.data() + i * data.image_size());
      }
    }));
  return Spread(times).median();
}

// The nodes of a captured training step or of a captured row of the reverse loop, with costs.
Json captured_step(const ProfileOptions& o, const std::vector<ProfiledLaunch>& timed) {
  Work work(o, true);
  if (o.what == "train") work.run();  // which is not captured
  Stream& stream = work.stream();
  timeline_counts([&] { return captured_nodes(stream); });
  timeline_start();
  work.run(true);
  std::vector<TimelineEvent> events = timeline_take();
  timeline_counts({});
  // Where the device is the host the replay has ranges too, which add no nodes.
  std::erase_if(events, [](const TimelineEvent& e) { return e.first_node == e.end_node; });
  std::vector<ProfiledLaunch> launches = launches_of(events, work.program());
  ITO_CHECK(launches.size() <= timed.size(), "profile: the captured step has ", launches.size(),
            " launches, the other ", timed.size());
  // The costs as they were given by the times: the launches are the same, but for those that a capture leaves out.
  size_t from = 0;
  for (ProfiledLaunch& launch : launches) {
    while (from < timed.size() && (timed[from].kernel != launch.kernel || timed[from].layer != launch.layer ||
                                   timed[from].pass != launch.pass))
      ++from;
    if (from < timed.size()) launch.cost = timed[from++].cost;
  }
  return graph_nodes_json(launches);
}

void profile(const ProfileOptions& o) {
  StepProfile result{.what = o.what, .model = o.model, .precision = o.precision, .batch = o.batch, .steps = o.steps};
  {
    Work usual(o, true);
    for (int i = 0; i < 2; ++i) usual.run();
    std::vector<double> times;
    for (int i = 0; i < o.steps; ++i) times.push_back(seconds_of([&] { usual.run(); }) / usual.steps());
    result.step_seconds = Spread(times).median();
    if (!o.data.empty()) result.loader_seconds = loader_seconds(o, usual.image());
  }
  Work work(o, false);
  work.run();
  wait_for_each_launch(true);
  std::vector<std::vector<ProfiledLaunch>> steps;
  for (int i = 0; i < o.steps; ++i) {
    timeline_start();
    work.run();
    const std::vector<TimelineEvent> events = timeline_take();
    if (i == 0 && !o.trace.empty()) timeline_save(events, o.trace);
    steps.push_back(launches_of(events, work.program()));
  }
  wait_for_each_launch(false);
  result.launches = median_launches(steps);
  attribute_costs(result.launches, work.program());
  for (const Part part : {Part::Forward, Part::Data, Part::Weight}) result.network += cost_of(work.program(), part);
  result.roofline = measure_roofline(compute_type_of(o.precision, "--precision"), 3, o.largest);
  if (!o.nodes.empty()) write_json_file(o.nodes, captured_step(o, result.launches));
  if (o.json)
    print_json(profile_json(result));
  else
    print_profile(result, o.rows);
}

}  // namespace

void add_profile_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("profile", "where a step's time goes, by kernel and by layer");
  auto o = std::make_shared<ProfileOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("what,--what", o->what, "train or sample");
  command->add_option("--model", o->model, "a named model, or the path of a config.json or checkpoint");
  command->add_option("--batch", o->batch, "images a step");
  command->add_option("--steps", o->steps, "steps whose launches are timed");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--size", o->size, "image size; 0: as the model says");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_option("--data", o->data, "train: data whose batches are made and timed: fashion-mnist or a path");
  command->add_option("--trace", o->trace, "write the first step as a Chrome trace to this file");
  command->add_option("--graph-nodes", o->nodes,
                      "write what each node of the captured step, or row of the reverse loop, is to this file");
  command->add_option("--rows", o->rows, "rows of each table; 0: all");
  command->add_option("--largest", o->largest, "the longest side of the roofline's product and copy; 0: as it needs");
  command->add_flag("--json", o->json, "print one JSON object");
  command->callback([o] {
    const std::vector<std::string> known{"train", "sample"};
    ITO_USER_CHECK(std::find(known.begin(), known.end(), o->what) != known.end(), "profile '", o->what,
                   "': expected train or sample", did_you_mean(o->what, known));
    ITO_USER_CHECK(o->what == "train" || o->data.empty(), "profile sample: --data is for train; leave it out");
    check_batch(o->batch);
    check_range("--steps", o->steps, 1, 1 << 20);
    check_range("--size", o->size, 0, kMaxImageSide, " (0: as the model says)");
    check_range("--rows", o->rows, 0, 1 << 20, " (0: all)");
    check_range("--largest", o->largest, 0, 1 << 20, " (0: as it needs)");
    check_threads(o->threads);
    for (const std::string& path : {o->trace, o->nodes})
      if (!path.empty()) const AtomicFile probe(path);  // known before the work
    set_device_threads(o->threads);
    profile(*o);
  });
}

}  // namespace ito
