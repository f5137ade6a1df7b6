// SPDX-License-Identifier: Apache-2.0
// ito bench rows: the bandwidth of samplers' rows beside that of a copy of the same images.
#include <bit>
#include <cstdio>

#include "engine/program/compute_type.h"
#include "engine/program/device_buffer.h"
#include "engine/program/network.h"
#include "engine/samplers/sampler.h"
#include "kernels/diffusion/reverse_row.h"
#include "tools/commands/bench/options.h"
#include "tools/commands/bench/timing.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

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

}  // namespace

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

}  // namespace ito
