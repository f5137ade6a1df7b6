// SPDX-License-Identifier: Apache-2.0
// ito bench train and sample: a model's step at a batch; the operations and bytes of its network are counted from
// shapes.
// --serve runs one repetition a line of standard input ("train 64", "sample 16", "quit") and answers in JSON, so that a
// driver can take turns with a peer.
#include "tools/commands/bench/models.h"

#include <charconv>
#include <cstdio>
#include <iostream>

#include "engine/io/input_file.h"
#include "engine/program/compute_type.h"
#include "engine/ranks/agreement.h"
#include "engine/ranks/rank_times.h"
#include "engine/samplers/sampler.h"
#include "kernels/seams/memory_limit.h"
#include "kernels/seams/ranges.h"
#include "models/model.h"
#include "tools/commands/bench/ceilings.h"
#include "tools/commands/bench/timing.h"
#include "tools/commands/flag_checks.h"
#include "tools/terminal/results.h"

namespace ito {

ModelBench::ModelBench(const BenchOptions& o)
    : o_(o), schedule_(SchedulerConfig{}), network_(model_of(o.model).network(o.size, o.size)) {}

double ModelBench::run(const std::string& what, int batch) {
  if (what == "train") return train(batch);
  if (what == "sample") return sample(batch);
  fail<UserError>("bench: '", what, "': expected train or sample");
}

Cost ModelBench::cost(const std::string& what, int batch) {
  if (what == "sample") return cost_of(processes_.at(batch)->program(), Part::Forward);
  const Program& program = trainers_.at(batch)->program();
  const double share = static_cast<double>(batch) / program.options().n / (o_.ranks ? o_.ranks->size() : 1);
  Cost all = cost_of(program, Part::Forward);
  all += cost_of(program, Part::Data);
  all += cost_of(program, Part::Weight);
  all.flop *= share;
  all.bytes *= share;
  return all;
}

double ModelBench::train(int batch) {
  std::unique_ptr<Trainer>& trainer = trainers_[batch];
  if (!trainer) {
    TrainSettings settings;
    settings.batch = batch;
    settings.compute = compute_type_of(o_.precision, "--precision");
    settings.learning_rate.steps = 1 << 20;
    settings.ranks = o_.ranks;
    trainer = std::make_unique<Trainer>(network_, schedule_, settings, memory_limit());
    trainer->set_weights(initial_weights(trainer->layout(), 1));
    images_.resize(std::max<size_t>(images_.size(), batch * network_.image.size()));
    for (size_t i = 0; i < images_.size(); ++i) images_[i] = static_cast<float>(i * 2654435761u % 255) / 127.5f - 1.0f;
    for (int i = 0; i < 2; ++i) step(*trainer, batch);
  }
  if (o_.ranks) o_.ranks->barrier();
  return seconds_of([&] {
    step(*trainer, batch);
    trainer->stream().synchronize();
  });
}

ExchangeTimes ModelBench::exchange_times(int batch) {
  return trainers_.at(batch)->exchange_times();
}

void ModelBench::step(Trainer& trainer, int batch) {
  trainer.step(images_.data() + trainer.own_images().first * network_.image.size(), labels_of(batch));
}

double ModelBench::sample(int batch) {
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

LabelRows ModelBench::labels_of(int batch) {
  if (network_.labels == LabelKind::None) return nullptr;
  if (network_.labels == LabelKind::Value) {
    values_.resize(std::max<size_t>(values_.size(), static_cast<size_t>(batch) * network_.label_width));
    return LabelRows(values_.data());
  }
  labels_.resize(std::max<size_t>(labels_.size(), batch));
  return labels_.data();
}

size_t ModelBench::memory_limit() const {
  return o_.ranks ? memory_of_rank(*o_.ranks, device_memory_limit()) : device_memory_limit();
}

namespace {

// A line of the first rank's standard input, on all ranks; false at its end.
bool next_line(const BenchOptions& o, std::string& line) {
  const bool first = !o.ranks || o.ranks->rank() == 0;
  if (first && !std::getline(std::cin, line)) line = "quit";
  if (o.ranks) line = o.ranks->gather_text(first ? line : "").front();
  return line != "quit";
}

}  // namespace

void serve_models(const BenchOptions& o) {
  ModelBench bench(o);
  std::string line;
  while (next_line(o, line)) {
    const size_t space = line.find(' ');
    const std::string what = line.substr(0, space), number = space == std::string::npos ? "" : line.substr(space + 1);
    int batch = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), batch);
    const bool whole = error == std::errc() && end == number.data() + number.size();
    ITO_USER_CHECK(!o.ranks || what == "train", "bench --serve: ", quote_name(line), ": several ranks take only train");
    ITO_USER_CHECK(whole && batch >= 1 && batch <= kMaxBatch, "bench --serve: ", quote_name(line),
                   ": expected e.g. train 64");
    const double seconds = bench.run(what, batch);
    print_json({{"what", what}, {"batch", batch}, {"layout", "nhwc"}, {"seconds", seconds}});
    if (std::fflush(stdout) != 0) return;  // nobody reads the answers
  }
}

void measure_models(const BenchOptions& o) {
  ModelBench bench(o);
  std::vector<double> times;
  if (!o.timeline.empty()) {
    bench.run(o.what, o.batch);  // warm
    timeline_start();
    bench.run(o.what, o.batch);
    timeline_write(o.timeline);
  }
  for (int i = 0; i < o.repetitions; ++i) times.push_back(bench.run(o.what, o.batch));
  std::optional<RankTimes> of_ranks;
  if (o.ranks) {
    const ExchangeTimes exchanged = bench.exchange_times(o.batch);
    of_ranks = rank_times(*o.ranks, exchanged.seconds, exchanged.seconds_waiting);
  }
  const Spread spread(times);
  const double median = spread.median();
  const Cost cost = bench.cost(o.what, o.batch);
  const Roofline roofline = measure_roofline(compute_type_of(o.precision, "--precision"), 3, o.largest);
  const double of_roofline = roofline.least_seconds(cost.flop, cost.bytes) / median;
  const double mfu = cost.flop / roofline.flop_per_second / median;
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
                 {"network_flop", cost.flop},
                 {"network_bytes", cost.bytes},
                 {"mfu", mfu},
                 {"of_roofline", of_roofline},
                 {"roofline", roofline.json()},
                 {"bytes_beside_allocations", device_bytes_beside_allocations()}});
    if (of_ranks)
      line.update({{"ranks", o.ranks->size()},
                   {"waited_for_ranks", of_ranks->waited},
                   {"exchange", of_ranks->exchange},
                   {"slowest_rank", of_ranks->slowest}});
    print_json(line);
    return;
  }
  std::printf(
      "%s, batch %d, %s: median %.2f ms a step (%.2f to %.2f over %zu), %.1f images/s; %.2f GFLOP, %.2f of a "
      "product's rate\n",
      o.what.c_str(), o.batch, o.precision.c_str(), 1e3 * median, 1e3 * spread.times.front(), 1e3 * spread.times.back(),
      times.size(), o.batch / median, 1e-9 * cost.flop, mfu);
  if (of_ranks)
    std::printf("on %d ranks, whose share of the operations this is: %.1f%% exchanging, %.1f%% waiting for rank %d\n",
                o.ranks->size(), 100 * of_ranks->exchange, 100 * (of_ranks->waited - of_ranks->exchange),
                of_ranks->slowest);
}

}  // namespace ito
