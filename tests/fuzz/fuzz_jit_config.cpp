// SPDX-License-Identifier: Apache-2.0
// transformer/config.json: what is accepted must survive writing and reading again.
#include "engine/io/json_file.h"
#include "models/jit/jit_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {

void fuzz_jit_config(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> warnings;
  const JiTConfig config = jit_config_from_json(parse_json(text, "config.json"), "config.json", &warnings);
  for (const std::string& warning : warnings) demand_one_line(warning);
  warnings.clear();
  const Json written = to_json(config);
  const JiTConfig again = jit_config_from_json(parse_json(json_text(written), "again"), "again", &warnings);
  demand(warnings.empty(), "what is written is read without warnings");
  demand(to_json(again) == written, "a configuration survives writing and reading");
  demand(config.width() > 0 && config.hidden() > 0, "derived sizes are positive");
}

}  // namespace ito
