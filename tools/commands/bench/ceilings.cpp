// SPDX-License-Identifier: Apache-2.0
// ito bench ceilings, and the two numbers of them that other reports divide by.
#include "tools/commands/bench/ceilings.h"

#include <algorithm>
#include <cstdio>

#include "engine/program/device_buffer.h"
#include "kernels/seams/gemm.h"
#include "tools/commands/bench/options.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

constexpr size_t kCopyBytes = size_t{256} << 20;  // several times a large cache

Json copy_ceiling(Stream& stream, int repetitions, int largest) {
  const size_t side = largest ? largest : 1 << 14;
  const size_t bytes = std::min(kCopyBytes, side * side * sizeof(float));
  DeviceBuffer<char> from(bytes, "the source of a copy"), to(bytes, "the target of a copy");
  fill_random(stream, {from.data(), DType::F32}, bytes / sizeof(float));
  const Spread spread =
      time_launches(stream, repetitions, [&] { copy_on_device(stream, to.data(), from.data(), bytes); });
  return {{"bytes", bytes}, {"bytes_moved_per_second", rate_of(spread, 2.0 * static_cast<double>(bytes))}};
}

// Large squares, then the products inside of ddpm-cifar10's training step at batch 128: 3x3 convolutions at three
// sizes, and a layer of the time embedding.
constexpr int kProducts[][3] = {{8192, 8192, 8192}, {4096, 4096, 4096}, {131072, 128, 1152},
                                {32768, 256, 2304}, {8192, 256, 2304},  {128, 512, 512}};

Json product_ceiling(Stream& stream, int repetitions, int largest, DType type, const int (&sides)[3]) {
  const auto capped = [&](int side) { return largest ? std::min(side, largest) : side; };
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
  const Spread spread = time_launches(stream, repetitions, [&] {
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

}  // namespace

double Roofline::least_seconds(double flop, double bytes) const {
  return std::max(flop / flop_per_second, bytes / bytes_per_second);
}

Json Roofline::json() const {
  return {{"copy_bytes_moved_per_second", bytes_per_second}, {"product_flop_per_second", flop_per_second}};
}

Roofline measure_roofline(DType type, int repetitions, int largest) {
  Stream stream("ceilings");
  // The first square that keeps the device busy for a while.
  constexpr int kLeast = 512, kMost = 8192;
  constexpr double kBusy = 0.005;  // seconds
  const int most = largest ? std::min(largest, kMost) : kMost;
  int side = std::min(kLeast, most);
  while (2 * side <= most && product_ceiling(stream, 1, 0, type, {side, side, side})["seconds"].get<double>() < kBusy)
    side *= 2;
  const Json copy = copy_ceiling(stream, repetitions, largest);
  const Json product = product_ceiling(stream, repetitions, 0, type, {side, side, side});
  return {copy["bytes_moved_per_second"]["most"].get<double>(), product["flop_per_second"]["most"].get<double>()};
}

void measure_ceilings(const BenchOptions& o) {
  Stream stream;
  Json all = machine();
  all["what"] = "ceilings";
  all["repetitions"] = o.repetitions;
  all["copy"] = copy_ceiling(stream, o.repetitions, o.largest);
  const auto median = [](const Json& rate) { return rate["median"].get<double>(); };
  if (!o.json)
    std::printf("copy of %zu bytes: %.1f GB/s read and written\n", all["copy"]["bytes"].get<size_t>(),
                1e-9 * median(all["copy"]["bytes_moved_per_second"]));
  for (const DType type : {DType::BF16, DType::F32})
    for (const auto& sides : kProducts) {
      const Json line = product_ceiling(stream, o.repetitions, o.largest, type, sides);
      if (!o.json)
        std::printf("product %s, %d x %d x %d: %.2f TFLOP/s\n", name_of(type), line["m"].get<int>(),
                    line["n"].get<int>(), line["k"].get<int>(), 1e-12 * median(line["flop_per_second"]));
      all["products"].push_back(line);
    }
  if (o.json) print_json(all);
}

}  // namespace ito
