// SPDX-License-Identifier: Apache-2.0
// scheduler_config.json: what is accepted must survive writing and reading again.
#include "engine/diffusion/scheduler_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {

void fuzz_scheduler_config(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string where = "scheduler_config.json";
  const SchedulerConfig config = parse_scheduler_config(parse_json(text, where), where);
  const Json written = scheduler_config_json(config);
  const SchedulerConfig again = parse_scheduler_config(parse_json(json_text(written), where), where);
  demand(scheduler_config_json(again) == written, "a configuration survives writing and reading");
}

}  // namespace ito
