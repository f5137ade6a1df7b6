// SPDX-License-Identifier: Apache-2.0
// ito bench data: images a second of the loader, from --data to the memory that a device copies from. Whatever the
// images are stored in, each is fetched and decoded anew in every epoch.
#include "tools/commands/bench/data.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "engine/data/load_dataset.h"
#include "kernels/seams/memory_limit.h"
#include "tools/commands/bench/timing.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/rank_work.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

Dataset load(const BenchOptions& o) {
  ITO_USER_CHECK(!o.data.empty(), "bench data: --data is missing: the data set whose loading is timed");
  LoadOptions options;
  options.height = options.width = o.size;
  options.threads = o.threads;
  options.memory_limit = host_memory_limit();
  options.stream = true;
  return load_dataset(o.data, options);
}

}  // namespace

DataBench::DataBench(const BenchOptions& o)
    : data_(load(o)),
      batch_(std::min(o.batch, data_.count)),
      threads_(loading_threads(o.threads)),
      batches_(data_.count / batch_) {
  feed_ = std::make_unique<BatchFeed>(data_, 0, batch_, !data_.labels.empty(), 0, std::numeric_limits<int32_t>::max(),
                                      threads_);
}

double DataBench::run() {
  return seconds_of([&] {
    for (int64_t i = 0; i < batches_; ++i) feed_->next(stream_);
  });
}

Json DataBench::facts() const {
  return {{"data", data_.name},
          {"images", data_.count},
          {"shape", {data_.height, data_.width, data_.channels}},
          {"from", data_.source ? "where they are stored" : "memory"},
          {"batch", batch_},
          {"threads", threads_}};
}

void measure_data(const BenchOptions& o) {
  DataBench bench(o);
  // It finds the files on the disk, or wherever they are; the others in the system's memory if they fit there.
  const double first = bench.run();
  std::vector<double> seconds;
  for (int i = 0; i < o.repetitions; ++i) seconds.push_back(bench.run());
  const Spread spread(seconds);
  const auto images = static_cast<double>(bench.images());
  if (o.json) {
    Json all = machine();
    all["what"] = "data";
    all.update(bench.facts());
    all.update({{"repetitions", o.repetitions}, {"epoch", seconds_json(spread)}});
    all["images_per_second"] = rate_of(spread, images);
    all["images_per_second"]["first"] = images / first;
    return print_json(all);
  }
  std::printf("data, batch %d, %d threads: %.0f images/s (%.0f to %.0f, %d epochs of %.0f images; %.0f before them)\n",
              bench.facts()["batch"].get<int>(), bench.facts()["threads"].get<int>(), images / spread.median(),
              images / spread.most(), images / spread.least(), o.repetitions, images, images / first);
}

}  // namespace ito
