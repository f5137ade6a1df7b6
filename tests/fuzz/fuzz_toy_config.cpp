// SPDX-License-Identifier: Apache-2.0
// The file of a closed form: what is accepted must survive writing and reading again.
#include "engine/io/json_file.h"
#include "models/toy/toy_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {

void fuzz_toy_config(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> warnings;
  const ToyConfig config = toy_config_from_json(parse_json(text, "t.json"), "t.json", &warnings);
  for (const std::string& warning : warnings) demand_one_line(warning);
  warnings.clear();
  const ToyConfig again = toy_config_from_json(parse_json(json_text(to_json(config)), "again"), "again", &warnings);
  demand(warnings.empty(), "what is written is read without warnings");
  demand(again.form == config.form && again.image == config.image, "a configuration survives writing and reading");
  demand(config.image.size() > 0, "it has images");
}

}  // namespace ito
