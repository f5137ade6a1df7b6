// SPDX-License-Identifier: Apache-2.0
// The file of a Gaussian mixture: what is accepted must survive writing and reading again, and be a mixture.
#include <cmath>

#include "engine/io/json_file.h"
#include "models/mixture/mixture_config.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {
void fuzz_mixture_config(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> warnings;
  const MixtureConfig config = mixture_config_from_json(parse_json(text, "m.json"), "m.json", &warnings);
  for (const std::string& warning : warnings) demand_one_line(warning);
  warnings.clear();
  const Json written = to_json(config);
  const MixtureConfig again = mixture_config_from_json(parse_json(json_text(written), "again"), "again", &warnings);
  demand(warnings.empty(), "what is written is read without warnings");
  demand(to_json(again) == written, "a configuration survives writing and reading");
  const GaussianMixture mixture = again.mixture();
  demand(mixture.size() > 0, "a mixture has numbers");
  for (const double log_weight : mixture.log_weights()) demand(std::isfinite(log_weight), "weights are above 0");
}

}  // namespace ito
