// SPDX-License-Identifier: Apache-2.0
// See run_identity.h.
#include "engine/run/run_identity.h"

#include <fmt/format.h>

#include "engine/io/hash.h"
#include "engine/io/input_file.h"
#include "engine/io/option_name.h"
#include "kernels/error.h"
#include "kernels/seams/choices.h"

namespace ito {
namespace {

constexpr const char* kAdvice = "; resume with the same value, or start another run in another folder";

// The library's names for what it chose, of every op: the same version may choose by more than the instruction set.
std::string kernels_of(const Program& program) {
  std::string all;
  for (const auto& op : program.ops()) all += op->name + " " + op->describe() + "\n";
  return fmt::format("{}, plans {:016x}", kernel_choices(), hash_text(all));
}

// The part that kernel_choices() gave.
std::string choices_in(const std::string& kernels) {
  return kernels.substr(0, kernels.rfind(", plans "));
}

}  // namespace

RunIdentity identity_of(const RunConfig& run, const Json& architecture, const SchedulerConfig& scheduler,
                        const Program& program, uint64_t data_fingerprint) {
  RunIdentity identity;
  identity.seed = run.seed;
  identity.data_fingerprint = data_fingerprint;
  identity.architecture = architecture;
  identity.scheduler = scheduler_config_json(scheduler);
  identity.numbers = run.numbers();
  identity.before = run.before();
  Json hashed = identity.numbers;
  for (const auto& [key, value] : identity.before.items())  // checkpoints from before go on
    if (hashed.value(key, Json()) == value) hashed.erase(key);
  hashed["precision"] = name_of(program.options().compute);  // what it came down to on this machine
  hashed["architecture"] = identity.architecture;
  hashed["scheduler"] = identity.scheduler;
  identity.configuration_hash = hash_text(hashed.dump());
  identity.kernels = kernels_of(program);
  identity.other_kernels = run.other_kernels;
  return identity;
}

void check_architecture(const RunIdentity& now, const std::string& checkpoint, const Json& stored_architecture) {
  for (const auto& [key, value] : now.architecture.items()) {
    if (key == "_diffusers_version") continue;
    const Json old = stored_architecture.value(key, Json());
    ITO_USER_CHECK(value == old, option_name("model"), ": its ", key, " is ", value.dump(), ", that of ", checkpoint,
                   " ", old.dump(), kAdvice);
  }
}

void check_scheduler(const RunIdentity& now, const std::string& checkpoint, const SchedulerConfig& stored) {
  const Json before = scheduler_config_json(stored);
  for (const auto& [key, value] : now.scheduler.items()) {
    if (now.numbers.contains(key)) continue;  // check_identity calls it by its own option
    const Json old = before.value(key, Json());
    ITO_USER_CHECK(value == old, option_name("scheduler"), ": its ", key, " is ", printable(value.dump(), 60),
                   ", that of ", checkpoint, " ", printable(old.dump(), 60), kAdvice);
  }
}

void check_identity(const RunIdentity& now, const TrainingSnapshot& snapshot, const Json& stored_config,
                    const std::string& checkpoint) {
  ITO_USER_CHECK(now.seed == snapshot.seed, option_name("seed"), " ", now.seed, ": ", checkpoint,
                 " was trained with seed ", snapshot.seed, kAdvice);
  const bool same_data =
      now.data_fingerprint == snapshot.data_fingerprint || (now.same_data && now.same_data(snapshot.data_fingerprint));
  ITO_USER_CHECK(same_data, option_name("data"), ": the images and labels have fingerprint ",
                 fmt::format("{:016x}, those that {} was trained on {:016x}", now.data_fingerprint, checkpoint,
                             snapshot.data_fingerprint),
                 "; resume with the same data, or start another run in another folder");
  if (stored_config.is_object())
    for (const auto& [key, value] : now.numbers.items()) {
      const Json old = stored_config.value(key, now.before.value(key, Json()));
      ITO_USER_CHECK(value == old, option_name(key), " ", value.dump(), ": ", checkpoint, " was trained with ",
                     old.dump(), kAdvice);
    }
  ITO_USER_CHECK(
      now.configuration_hash == snapshot.configuration_hash, checkpoint,
      fmt::format(": was trained with other options (configuration hash {:016x}, these give {:016x}), and config.json "
                  "does not tell which; start another run in another folder",
                  snapshot.configuration_hash, now.configuration_hash));
}

void check_kernels(const RunIdentity& now, const TrainingSnapshot& snapshot, const std::string& checkpoint) {
  if (now.kernels == snapshot.kernels) return;
  const std::string differ =
      join_text(checkpoint, ": was trained with the kernels of ", snapshot.kernels, "; here they are ", now.kernels);
  const std::string advice = advice_for_choices(choices_in(snapshot.kernels));
  ITO_USER_CHECK(now.other_kernels, differ, ", which may round differently; ",
                 advice.empty() ? "resume where they are the same" : advice + " to have the former",
                 ", or go on with these (", option_name("other_kernels"), ")");
  warn(differ, ", which it goes on with");
}

}  // namespace ito
