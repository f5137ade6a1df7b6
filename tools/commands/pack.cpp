// SPDX-License-Identifier: Apache-2.0
// ito pack: a data set of any format as one file that training maps into memory.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "engine/data/load_dataset.h"
#include "engine/data/pack.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/seams/memory_limit.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/reading_watch.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct Options {
  std::string data, out, split = "train";
  int size = 0, channels = 0, shards = 1, threads = 0;
};

void check(const Options& o) {
  ITO_USER_CHECK(o.split == "train" || o.split == "test", "--split ", quote_name(o.split), ": expected train or test",
                 did_you_mean(o.split, {"train", "test"}));
  check_range("--size", o.size, 0, kMaxImageSide, " (0: as they are)");
  ITO_USER_CHECK(o.channels == 0 || o.channels == 1 || o.channels == 3, "--channels ", o.channels,
                 ": expected 1 (grey), 3 (RGB) or 0 (as they are)");
  check_range("--shards", o.shards, 1, kMaxShards);
  check_threads(o.threads);
  ITO_USER_CHECK(o.out.ends_with(".safetensors"), "--out ", o.out, ": expected a name that ends in .safetensors");
  std::error_code none_there;
  ITO_USER_CHECK(!std::filesystem::equivalent(o.out, o.data, none_there), "--out ", o.out, ": is --data ", o.data,
                 "; choose another file");
}

void run(const Options& o) {
  check(o);
  LoadOptions load;
  load.height = load.width = o.size;
  load.channels = o.channels;
  load.split = o.split == "train" ? Split::Train : Split::Test;
  load.threads = o.threads ? o.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  load.memory_limit = host_memory_limit();
  load.stream = true;
  Dataset data;
  {
    ReadingWatch watch(o.data);
    load.progress = watch.progress();
    data = load_dataset(o.data, load);
  }
  const auto start = std::chrono::steady_clock::now();
  Progress progress("packing", data.count, 1, "images");
  const Packed packed =
      pack_dataset(data, {o.out, o.shards, load.threads, [&](int64_t done) { progress.update(done); }});
  progress.finish();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double megabytes = static_cast<double>(packed.bytes) / 1e6;
  print_note(fmt::format("packed {} images of {} x {} x {}{}, {:.1f} MB, in {:.2f} s: {:.0f} images/s, {:.0f} MB/s",
                         data.count, data.height, data.width, data.channels,
                         data.class_count() ? fmt::format(" in {} classes", data.class_count()) : "", megabytes,
                         seconds, data.count / seconds, megabytes / seconds));
  print_result(packed.path);
}

}  // namespace

void add_pack_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "pack", "turn a data set of any format into one file of decoded images, which training maps into memory");
  auto o = std::make_shared<Options>();
  command->option_defaults()->always_capture_default();
  command->add_option("--data", o->data, "the images: a data set, as for train")->required();
  command->add_option("--out", o->out, "the .safetensors file to write")->required();
  command->add_option("--size", o->size, "resize and crop images to this square; 0: as they are");
  command->add_option("--channels", o->channels, "1 (grey) or 3 (RGB); 0: as they are");
  command->add_option("--shards", o->shards, "files to spread the images over; more than one have an .index.json");
  command->add_option("--split", o->split, "of the data: test or train");
  command->add_option("--threads", o->threads, "threads that decode images; 0: all cores");
  command->callback([o] { run(*o); });
}

}  // namespace ito
