// SPDX-License-Identifier: Apache-2.0
// ito bench: what takes how long, a kind of work a file of this folder.
#include <algorithm>
#include <memory>

#include "engine/io/atomic_file.h"
#include "engine/io/json_file.h"
#include "tools/commands/bench/options.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/rank_work.h"

namespace ito {

void add_bench_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command = app.add_subcommand(
      "bench",
      "time the training step, the reverse step, the loading of data, kernels, samplers' rows, or copies and products");
  auto o = std::make_shared<BenchOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("what,--what", o->what, "train, sample, data, rows, ceilings or kernels");
  command->add_option("name,--op", o->name, "kernels: of this op alone");
  command->add_option("--model", o->model, "a named model, or the path of a config.json or checkpoint");
  command->add_option("--data", o->data, "data: the data set that is loaded");
  command->add_option("--batch", o->batch, "images a step");
  command->add_option("--repetitions", o->repetitions, "timed steps");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--size", o->size, "image size; 0: as the model says, or as the data is");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_option("--timeline", o->timeline, "write a Chrome-trace timeline of one repetition to this file");
  command->add_option("--largest", o->largest,
                      "ceilings, kernels: the longest side of a matrix; 0: as the product says; rows: the images");
  command->add_option("--against", o->against, "train, sample and data: pytorch, a repetition of each in turn");
  command->add_option("--peer-python", o->peer_python, "the Python that has PyTorch");
  command->add_option("--peer-script", o->peer_script,
                      "the peer's program; empty: peer_torch_cpu.py, peer_torch_gpu.py or peer_torch_data.py of the "
                      "sources that this was built in");
  command->add_option("--peer-data", o->peer_data,
                      "data: what the peer loads, where it cannot read --data: the folder that an archive was made of");
  command->add_option("--tune", o->tune,
                      "time every kernel that the layers of --model could take, and write a table for --kernel-table");
  command->add_flag(
      "--counts", o->counts,
      "kernels: no times, but the operations and bytes of a larger model's sizes, the same on any machine");
  command->add_flag("--json", o->json, "print one JSON object");
  command->add_flag("--serve", o->serve, "one repetition a line of standard input, answers in JSON");
  command->callback([o, &ranks] {
    const std::vector<std::string> known{"train", "sample", "data", "rows", "ceilings", "kernels"};
    ITO_USER_CHECK(std::find(known.begin(), known.end(), o->what) != known.end(), "bench '", o->what,
                   "': expected train, sample, data, rows, ceilings or kernels", did_you_mean(o->what, known));
    check_batch(o->batch);
    check_range("--repetitions", o->repetitions, 1, 1 << 20);
    check_range("--size", o->size, 0, kMaxImageSide, " (0: as the model says)");
    check_range("--largest", o->largest, 0, 1 << 20, " (0: as the product says)");
    check_threads(o->threads);
    if (!o->tune.empty()) const AtomicFile probe(o->tune);
    if (!o->timeline.empty()) const AtomicFile probe(o->timeline);  // known before the work
    ITO_USER_CHECK(o->name.empty() || o->what == "kernels", "bench ", o->what, " '", o->name,
                   "': only kernels takes a name");
    ITO_USER_CHECK(!o->counts || o->what == "kernels", "bench ", o->what, ": only kernels has counts");
    ITO_USER_CHECK(o->data.empty() || o->what == "data", "bench ", o->what, " --data ", o->data,
                   ": only data loads a data set");
    check_kernel_name(o->name);
    check_against(*o);
    if (ranks.size() > 1) {
      ITO_USER_CHECK(o->what == "train" && o->against.empty() && o->tune.empty() && o->timeline.empty(), "bench ",
                     o->what,
                     ": several ranks time a training step, with --serve and --json; start the rest without "
                     "mpirun or srun");
      o->ranks = &ranks;
    }
    set_threads_of_rank(ranks, o->threads);
    if (!o->tune.empty()) return tune_kernels(*o);
    if (o->what == "ceilings") return measure_ceilings(*o);
    if (o->what == "rows") return measure_rows(*o);
    if (o->counts) return count_kernels(*o);
    if (o->what == "kernels") return measure_kernels(*o);
    if (!o->against.empty()) return measure_against(*o);
    if (o->what == "data") return measure_data(*o);
    if (o->serve)
      serve_models(*o);
    else
      measure_models(*o);
  });
}

}  // namespace ito
