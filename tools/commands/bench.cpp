// SPDX-License-Identifier: Apache-2.0
// ito bench: throughput of a model's training step and reverse step, the bandwidth of samplers' rows, and the device's
// ceilings to hold them against: copies and matrix products. --serve runs one repetition a line of standard input
// ("train 64", "sample 16", "quit") and answers in JSON, so that a driver can take turns with a peer.
#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

#include "engine/io/atomic_file.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/program/compute_type.h"
#include "engine/reverse/reverse_process.h"
#include "engine/samplers/sampler.h"
#include "engine/training/trainer.h"
#include "kernels/diffusion/reverse_row.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/choices.h"
#include "kernels/seams/gemm.h"
#include "kernels/seams/memory_limit.h"
#include "kernels/seams/ranges.h"
#include "models/model.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct BenchOptions {
  std::string model = "demo", precision = "fp32", what = "train", timeline;
  int batch = 64, repetitions = 20, threads = 0, size = 0, largest = 0;
  bool serve = false, json = false;
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
  explicit Bench(const BenchOptions& o)
      : o_(o), schedule_(SchedulerConfig{}), network_(model_of(o.model).network(o.size, o.size)) {}

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
      settings.compute = compute_type_of(o_.precision, "--precision");
      settings.learning_rate.steps = 1 << 20;
      trainer = std::make_unique<Trainer>(network_, schedule_, settings, device_memory_limit());
      trainer->set_weights(initial_weights(trainer->layout(), 1));
      images_.resize(std::max<size_t>(images_.size(), batch * network_.image.size()));
      for (size_t i = 0; i < images_.size(); ++i)
        images_[i] = static_cast<float>(i * 2654435761u % 255) / 127.5f - 1.0f;
      for (int i = 0; i < 2; ++i) trainer->step(images_.data(), labels_of(batch));
    }
    return seconds_of([&] {
      trainer->step(images_.data(), labels_of(batch));
      trainer->stream().synchronize();
    });
  }

  double sample(int batch) {
    std::unique_ptr<ReverseProcess>& process = processes_[batch];
    if (!process) {
      if (!weights_.data()) {
        const std::vector<float> weights = initial_weights(parameters_of(network_), 1);
        Stream stream;
        weights_ = DeviceBuffer<float>(weights.size(), "weights");
        weights_.upload(stream, weights.data());
      }
      SamplingSettings settings;
      settings.steps = kReverseSteps;
      ReverseSettings reverse;
      reverse.batch = batch;
      reverse.compute = compute_type_of(o_.precision, "--precision");
      reverse.memory_limit = device_memory_limit();
      process = std::make_unique<ReverseProcess>(network_, sampling_table(sampler_named("ddpm"), schedule_, settings),
                                                 weights_.data(), reverse);
      process->all(0, batch, nullptr, labels_of(batch));
    }
    return seconds_of([&] { process->all(0, batch, nullptr, labels_of(batch)); }) / kReverseSteps;
  }

  // Class 0 of every image, where the network wants classes.
  const int32_t* labels_of(int batch) {
    if (network_.labels != LabelKind::Index) return nullptr;
    labels_.resize(std::max<size_t>(labels_.size(), batch));
    return labels_.data();
  }

  BenchOptions o_;
  NoiseSchedule schedule_;
  Network network_;
  DeviceBuffer<float> weights_;
  std::vector<float> images_;
  std::vector<int32_t> labels_;
  std::map<int, std::unique_ptr<Trainer>> trainers_;
  std::map<int, std::unique_ptr<ReverseProcess>> processes_;
};

void serve(Bench& bench) {
  std::string line;
  while (std::getline(std::cin, line) && line != "quit") {
    const size_t space = line.find(' ');
    const std::string what = line.substr(0, space), number = space == std::string::npos ? "" : line.substr(space + 1);
    int batch = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), batch);
    const bool whole = error == std::errc() && end == number.data() + number.size();
    ITO_USER_CHECK(whole && batch >= 1 && batch <= kMaxBatch, "bench --serve: ", quote_name(line),
                   ": expected e.g. train 64");
    const double seconds = bench.run(what, batch);
    print_json({{"what", what}, {"batch", batch}, {"layout", "nhwc"}, {"seconds", seconds}});
    if (std::fflush(stdout) != 0) return;  // nobody reads the answers
  }
}

struct Spread {
  explicit Spread(std::vector<double> values) : times(std::move(values)) { std::sort(times.begin(), times.end()); }
  double median() const { return times[times.size() / 2]; }
  std::vector<double> times;  // seconds
};

Json machine() {
  return {{"device", device_name()}, {"kernels", kernel_choices()}};
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
  const Spread spread(times);
  const double median = spread.median();
  if (o.json) {
    Json line = machine();
    line.update({{"what", o.what},
                 {"model", o.model},
                 {"batch", o.batch},
                 {"precision", o.precision},
                 {"repetitions", times.size()},
                 {"seconds", median},
                 {"least_seconds", spread.times.front()},
                 {"most_seconds", spread.times.back()},
                 {"images_per_second", o.batch / median},
                 {"bytes_beside_allocations", device_bytes_beside_allocations()}});
    print_json(line);
    return;
  }
  std::printf("%s, batch %d, %s: median %.2f ms a step (%.2f to %.2f over %zu), %.1f images/s\n", o.what.c_str(),
              o.batch, o.precision.c_str(), 1e3 * median, 1e3 * spread.times.front(), 1e3 * spread.times.back(),
              times.size(), o.batch / median);
}

constexpr double kLongEnough = 0.02;  // seconds that a timed group of launches takes: the host's part is then small

// Seconds of one launch, as often as asked: each time of a group of launches that is long enough.
Spread time_launches(Stream& stream, int repetitions, const std::function<void()>& launch) {
  const auto group = [&](int launches) {
    return seconds_of([&] {
      for (int i = 0; i < launches; ++i) launch();
      stream.synchronize();
    });
  };
  group(1);  // what is made at the first use
  int launches = 1;
  while (group(launches) < kLongEnough && launches < 1 << 16) launches *= 2;
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) times.push_back(group(launches) / launches);
  return Spread(times);
}

Json rate_of(const Spread& spread, double amount) {
  return {{"median", amount / spread.median()},
          {"least", amount / spread.times.back()},
          {"most", amount / spread.times.front()}};
}

// Random values in [-1, 1): zeros would take less power, and the clock stay higher than in real work.
void fill_random(Stream& stream, DataRef out, size_t count) {
  std::vector<float> host(count);
  uint32_t state = 0x9E3779B9u;
  for (float& value : host) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
  }
  if (out.type == DType::F32) {
    copy_to_device(stream, out.data, host.data(), count * sizeof(float));
    stream.synchronize();
    return;
  }
  DeviceBuffer<float> values(count, "random values");
  values.upload(stream, host.data());
  convert(stream, out, values.data(), static_cast<int64_t>(count));
  stream.synchronize();
}

constexpr size_t kCopyBytes = size_t{256} << 20;  // several times a large cache

Json copy_ceiling(Stream& stream, const BenchOptions& o) {
  const size_t side = o.largest ? o.largest : 1 << 14;
  const size_t bytes = std::min(kCopyBytes, side * side * sizeof(float));
  DeviceBuffer<char> from(bytes, "the source of a copy"), to(bytes, "the target of a copy");
  fill_random(stream, {from.data(), DType::F32}, bytes / sizeof(float));
  const Spread spread =
      time_launches(stream, o.repetitions, [&] { copy_on_device(stream, to.data(), from.data(), bytes); });
  return {{"bytes", bytes}, {"bytes_moved_per_second", rate_of(spread, 2.0 * static_cast<double>(bytes))}};
}

// Large squares, then the products inside of ddpm-cifar10's training step at batch 128: 3x3 convolutions at three
// sizes, and a layer of the time embedding.
constexpr int kProducts[][3] = {{8192, 8192, 8192}, {4096, 4096, 4096}, {131072, 128, 1152},
                                {32768, 256, 2304}, {8192, 256, 2304},  {128, 512, 512}};

Json product_ceiling(Stream& stream, const BenchOptions& o, DType type, const int (&sides)[3]) {
  const auto capped = [&](int side) { return o.largest ? std::min(side, o.largest) : side; };
  GemmShape shape;
  shape.m = capped(sides[0]);
  shape.n = capped(sides[1]);
  shape.k = capped(sides[2]);
  const auto size = [&](int rows, int columns) { return static_cast<size_t>(rows) * columns; };
  DeviceBuffer<char> a(size(shape.m, shape.k) * size_of(type), "a matrix"),
      b(size(shape.k, shape.n) * size_of(type), "a matrix"), c(size(shape.m, shape.n) * size_of(type), "a matrix");
  fill_random(stream, {a.data(), type}, size(shape.m, shape.k));
  fill_random(stream, {b.data(), type}, size(shape.k, shape.n));
  FastestGemm product(shape, type);
  const Spread spread = time_launches(stream, o.repetitions, [&] {
    product.run(stream, {c.data(), type}, {a.data(), type}, {b.data(), type});
  });
  const double flop = 2.0 * shape.m * shape.n * shape.k;
  return {{"type", name_of(type)},
          {"m", shape.m},
          {"n", shape.n},
          {"k", shape.k},
          {"seconds", spread.median()},
          {"flop_per_second", rate_of(spread, flop)}};
}

void measure_ceilings(const BenchOptions& o) {
  Stream stream;
  Json all = machine();
  all["what"] = "ceilings";
  all["repetitions"] = o.repetitions;
  all["copy"] = copy_ceiling(stream, o);
  const auto median = [](const Json& rate) { return rate["median"].get<double>(); };
  if (!o.json)
    std::printf("copy of %zu bytes: %.1f GB/s read and written\n", all["copy"]["bytes"].get<size_t>(),
                1e-9 * median(all["copy"]["bytes_moved_per_second"]));
  for (const DType type : {DType::BF16, DType::F32})
    for (const auto& sides : kProducts) {
      const Json line = product_ceiling(stream, o, type, sides);
      if (!o.json)
        std::printf("product %s, %d x %d x %d: %.2f TFLOP/s\n", name_of(type), line["m"].get<int>(),
                    line["n"].get<int>(), line["k"].get<int>(), 1e-12 * median(line["flop_per_second"]));
      all["products"].push_back(line);
    }
  if (o.json) print_json(all);
}

// Samplers whose middle rows are timed, by what such a row moves besides the state and the answer: a draw; nothing; a
// register read and written; two read and one written; three read and one written.
constexpr const char* kRowSamplers[] = {"ddpm", "ddim", "dpm++2m", "dpm++3m", "lms"};
constexpr ImageShape kRowImage{32, 32, 3};
constexpr size_t kRowBytes = size_t{64} << 20;  // of the fp32 images, several times a large cache

// Bytes that a row reads and writes for each number of the images.
double bytes_a_number(const ReverseRow& row, DType type) {
  double bytes = sizeof(float) + static_cast<double>(size_of(type));
  bytes += static_cast<double>(sizeof(float)) * (std::popcount(row.reads) + row.writes);
  for (int w = 0; w < row.writes; ++w)
    if (row.to[w] == kState) bytes += static_cast<double>(size_of(type));  // the network's copy
  return bytes;
}

// Seconds of a launch, and of one copy of the fp32 images, in turns.
void measure_rows(const BenchOptions& o) {
  const DType type = compute_type_of(o.precision, "--precision");
  const size_t bytes_an_image = kRowImage.size() * sizeof(float);
  const int n = o.largest ? o.largest : static_cast<int>(kRowBytes / bytes_an_image);
  const size_t count = static_cast<size_t>(n) * kRowImage.size();
  Stream stream;
  DeviceBuffer<float> x(count, "images"), registers(count * kRegisters, "registers");
  DeviceBuffer<char> answer(count * size_of(type), "an answer"), input(count * size_of(type), "the network's input");
  DeviceBuffer<ReverseRow> row(1, "a row");
  DeviceBuffer<int64_t> number(1, "a row's number");
  number.zero(stream);
  fill_random(stream, {answer.data(), type}, count);
  fill_random(stream, registers.data(), registers.count());
  const auto copy = [&] { copy_on_device(stream, registers.data(), x.data(), x.bytes()); };
  const double copied = 2.0 * static_cast<double>(x.bytes());
  const NoiseSchedule schedule{SchedulerConfig{}};
  Json all = machine();
  all.update({{"what", "rows"}, {"images", n}, {"precision", o.precision}, {"repetitions", o.repetitions}});
  for (const char* sampler : kRowSamplers) {
    const ReverseTable table = sampling_table(sampler_named(sampler), schedule, {.steps = 20});
    const ReverseRow& middle = table.rows[table.rows.size() / 2];
    row.upload(stream, &middle);
    fill_random(stream, x.data(), count);
    SampleCounter counter;
    std::vector<double> copies, rows, ratios;
    for (int i = 0; i < o.repetitions; ++i) {
      copies.push_back(time_launches(stream, 1, copy).median());
      rows.push_back(time_launches(stream, 1, [&] {
                       reverse_row(stream, x.data(), {input.data(), type}, registers.data(), table.registers,
                                   {answer.data(), type}, false, nullptr, row.data(), number.data(), counter, n,
                                   static_cast<int>(kRowImage.pixels()), kRowImage.channels);
                     }).median());
      ratios.push_back(static_cast<double>(count) * bytes_a_number(middle, type) / rows.back() /
                       (copied / copies.back()));
    }
    const double moved = static_cast<double>(count) * bytes_a_number(middle, type);
    const Spread of_copy(ratios);
    const Json line = {
        {"sampler", sampler},
        {"bytes_a_number", bytes_a_number(middle, type)},
        {"bytes_moved_per_second", rate_of(Spread(rows), moved)},
        {"copy_bytes_moved_per_second", rate_of(Spread(copies), copied)},
        {"of_copy", {{"median", of_copy.median()}, {"least", of_copy.times.front()}, {"most", of_copy.times.back()}}}};
    if (!o.json)
      std::printf("row of %-8s %2.0f bytes a number: %.1f GB/s, %.2f (%.2f to %.2f) of a copy's\n", sampler,
                  bytes_a_number(middle, type), 1e-9 * moved / Spread(rows).median(), of_copy.median(),
                  of_copy.times.front(), of_copy.times.back());
    all["rows"].push_back(line);
  }
  if (o.json) print_json(all);
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("bench", "time the training step, the reverse step, samplers' rows, or copies and products");
  auto o = std::make_shared<BenchOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("what,--what", o->what, "train, sample, rows or ceilings");
  command->add_option("--model", o->model, "a named model, or the path of a config.json or checkpoint");
  command->add_option("--batch", o->batch, "images a step");
  command->add_option("--repetitions", o->repetitions, "timed steps");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--size", o->size, "image size; 0: as the model says");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_option("--timeline", o->timeline, "write a Chrome-trace timeline of one repetition to this file");
  command->add_option("--largest", o->largest,
                      "ceilings: the longest side of a matrix; 0: as the product says; rows: the images");
  command->add_flag("--json", o->json, "print one JSON object");
  command->add_flag("--serve", o->serve, "one repetition a line of standard input, answers in JSON");
  command->callback([o] {
    const std::vector<std::string> known{"train", "sample", "rows", "ceilings"};
    ITO_USER_CHECK(std::find(known.begin(), known.end(), o->what) != known.end(), "bench '", o->what,
                   "': expected train, sample, rows or ceilings", did_you_mean(o->what, known));
    check_batch(o->batch);
    check_range("--repetitions", o->repetitions, 1, 1 << 20);
    check_range("--size", o->size, 0, kMaxImageSide, " (0: as the model says)");
    check_range("--largest", o->largest, 0, 1 << 20, " (0: as the product says)");
    check_threads(o->threads);
    if (!o->timeline.empty()) const AtomicFile probe(o->timeline);  // known before the work
    set_device_threads(o->threads);
    if (o->what == "ceilings") return measure_ceilings(*o);
    if (o->what == "rows") return measure_rows(*o);
    Bench bench(*o);
    if (o->serve)
      serve(bench);
    else
      measure(bench, *o);
  });
}

}  // namespace ito
