// SPDX-License-Identifier: Apache-2.0
// A file of a run's options, a user's or the config.json of a run that goes on: what is accepted is written by the run
// as a file that says the same.
#include "tests/fuzz/memory_file.h"
#include "tools/commands/option_file.h"
#include "tools/commands/run_options.h"
#include "tools/commands/whole_numbers.h"

namespace ito {
namespace {

RunConfig run_of(const MemoryFile& memory) {
  RunConfig run;
  CLI::App program;
  CLI::App& command = *program.add_subcommand("train");
  add_run_options(command, run);
  read_whole_numbers_in_decimal(program);
  apply_option_file(command, memory.path());
  run.check();
  return run;
}

}  // namespace

void fuzz_run_options(Bytes bytes) {
  static MemoryFile memory("config.json");
  memory.set(bytes);
  const Json written = run_of(memory).json();
  const std::string text = json_text(written);
  memory.set({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  demand(run_of(memory).json() == written, "options survive writing and reading");
}

}  // namespace ito
