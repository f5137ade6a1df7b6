// SPDX-License-Identifier: Apache-2.0
// Any JSON: what is accepted must survive writing and reading again.
#include "engine/io/json_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {

void fuzz_json(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Json value = parse_json(text, "file.json");
  demand(parse_json(json_text(value), "file.json") == value, "JSON survives writing and reading");
  if (!value.is_object()) return;
  for (const auto& [key, ignored] : value.items())
    if (const std::string hint = did_you_mean(key, {"seed", "learning_rate"}); !hint.empty()) demand_one_line(hint);
}

}  // namespace ito
