// SPDX-License-Identifier: Apache-2.0
// ito bench: throughput of the demo model's training step and reverse step. --serve runs one repetition a line of
// standard input ("train 64", "sample 16", "quit") and answers in JSON, so that a driver can take turns with a peer.
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>

#include "engine/io/atomic_file.h"
#include "engine/io/json_file.h"
#include "engine/reverse_process.h"
#include "engine/samplers/sampler.h"
#include "engine/trainer.h"
#include "kernels/seams/memory_limit.h"
#include "kernels/seams/ranges.h"
#include "models/named_models.h"
#include "tools/commands.h"
#include "tools/flag_checks.h"
#include "tools/model_on_device.h"

namespace ito {
namespace {

struct BenchOptions {
  std::string model = "demo", precision = "fp32", what = "train", timeline;
  int batch = 64, repetitions = 20, threads = 0, size = 0;
  bool serve = false;
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

constexpr int kReverseSteps = 10;  // a repetition of sampling: its time is divided by them

// The work of one kind and batch, made at its first use and kept.
class Bench {
 public:
  explicit Bench(const BenchOptions& o) : o_(o), schedule_(SchedulerConfig{}), config_(named_model(o.model)) {
    const int size = o.size ? o.size : (*config_.sample_size)[0];
    network_ = unet_network(config_, size, size);
  }

  // Seconds of one training step or one reverse step.
  double run(const std::string& what, int batch) {
    if (what == "train") return train(batch);
    if (what == "sample") return sample(batch);
    fail<UserError>("bench: '", what, "': expected train or sample");
  }

 private:
  double train(int batch) {
    std::unique_ptr<Trainer>& trainer = trainers_[batch];
    if (!trainer) {
      TrainSettings settings;
      settings.batch = batch;
      settings.compute = compute_type(o_.precision);
      settings.learning_rate.steps = 1 << 20;
      trainer = std::make_unique<Trainer>(network_, schedule_, settings, device_memory_limit());
      trainer->set_weights(initial_weights(trainer->layout(), 1));
      images_.resize(std::max<size_t>(images_.size(), batch * network_.row()));
      for (size_t i = 0; i < images_.size(); ++i)
        images_[i] = static_cast<float>(i * 2654435761u % 255) / 127.5f - 1.0f;
      for (int i = 0; i < 2; ++i) trainer->step(images_.data(), nullptr);
    }
    return seconds_of([&] {
      trainer->step(images_.data(), nullptr);
      trainer->stream().synchronize();
    });
  }

  double sample(int batch) {
    std::unique_ptr<ReverseProcess>& process = processes_[batch];
    if (!process) {
      Program program({1, Mode::Inference, DType::F32});
      network_.build(program);
      const std::vector<float> weights = initial_weights(program.layout(), 1);
      if (!weights_.data()) {
        Stream stream;
        weights_ = DeviceBuffer<float>(weights.size(), "weights");
        weights_.upload(stream, weights.data());
      }
      SamplerSettings settings;
      settings.steps = kReverseSteps;
      ReverseSettings reverse;
      reverse.batch = batch;
      reverse.compute = compute_type(o_.precision);
      reverse.memory_limit = device_memory_limit();
      process = std::make_unique<ReverseProcess>(network_, make_sampler("ddpm")->table(schedule_, settings),
                                                 weights_.data(), reverse);
      out_.resize(std::max<size_t>(out_.size(), batch * network_.row()));
      process->run(0, nullptr, nullptr, out_.data());
    }
    return seconds_of([&] { process->run(0, nullptr, nullptr, out_.data()); }) / kReverseSteps;
  }

  BenchOptions o_;
  NoiseSchedule schedule_;
  UNetConfig config_;
  Network network_;
  DeviceBuffer<float> weights_;
  std::vector<float> images_, out_;
  std::map<int, std::unique_ptr<Trainer>> trainers_;
  std::map<int, std::unique_ptr<ReverseProcess>> processes_;
};

void serve(Bench& bench) {
  std::string line;
  while (std::getline(std::cin, line) && line != "quit") {
    std::istringstream words(line);
    std::string what;
    int batch = 0;
    words >> what >> batch;
    ITO_USER_CHECK(batch >= 1 && batch <= 65536, "bench --serve: '", line, "': expected e.g. train 64");
    const double seconds = bench.run(what, batch);
    std::cout << Json{{"what", what}, {"batch", batch}, {"layout", "nhwc"}, {"seconds", seconds}}.dump() << std::endl;
  }
}

void measure(Bench& bench, const BenchOptions& o) {
  std::vector<double> times;
  if (!o.timeline.empty()) {
    bench.run(o.what, o.batch);  // warm
    timeline_start();
    bench.run(o.what, o.batch);
    timeline_write(o.timeline);
  }
  for (int i = 0; i < o.repetitions; ++i) times.push_back(bench.run(o.what, o.batch));
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  std::printf("%s, batch %d, %s: median %.2f ms a step (%.2f to %.2f over %zu), %.1f images/s\n", o.what.c_str(),
              o.batch, o.precision.c_str(), 1e3 * median, 1e3 * times.front(), 1e3 * times.back(), times.size(),
              o.batch / median);
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "time the training step or the reverse step");
  auto o = std::make_shared<BenchOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("what", o->what, "train or sample");
  command->add_option("--model", o->model, "a named model");
  command->add_option("--batch", o->batch, "images a step");
  command->add_option("--repetitions", o->repetitions, "timed steps");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--size", o->size, "image size; 0: as the model says");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_option("--timeline", o->timeline, "write a Chrome-trace timeline of one repetition to this file");
  command->add_flag("--serve", o->serve, "one repetition a line of standard input, answers in JSON");
  command->callback([o] {
    ITO_USER_CHECK(o->what == "train" || o->what == "sample", "bench '", o->what, "': expected train or sample",
                   did_you_mean(o->what, {"train", "sample"}));
    check_batch(o->batch);
    check_range("--repetitions", o->repetitions, 1, 1 << 20);
    check_range("--size", o->size, 0, kMaxImageSide, " (0: as the model says)");
    check_threads(o->threads);
    if (!o->timeline.empty()) const AtomicFile probe(o->timeline);  // known before the work
    set_device_threads(o->threads);
    Bench bench(*o);
    if (o->serve)
      serve(bench);
    else
      measure(bench, *o);
  });
}

}  // namespace ito
