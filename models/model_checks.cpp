// SPDX-License-Identifier: Apache-2.0
// See model_checks.h.
#include "models/model_checks.h"

#include <cmath>
#include <vector>

#include "engine/io/hash.h"
#include "engine/io/json_file.h"

namespace ito {

void check_model(const ModelOnDevice& model, const NoiseSchedule& schedule) {
  check_outputs(model.network, model.scheduler, model.model.where);
  check_timestep_count(model.network.time, model.model.where, schedule.steps());
}

void check_timesteps(const ModelOnDevice& model, const ReverseTable& table, const char* do_at_zero,
                     const char* do_between) {
  const TimeDomain& time = model.network.time;
  for (const ReverseRow& row : table.rows) {
    ITO_USER_CHECK(!time.positive || row.timestep > 0, model.model.where, ": ", time.why,
                   ", but the last timestep is 0; ", do_at_zero);
    ITO_USER_CHECK(time.rows == 0 || row.timestep == std::floor(row.timestep), model.model.where, ": ", time.why,
                   ", but the sampler asks at timestep ", row.timestep, "; ", do_between);
  }
}

std::string fingerprint_of(const ModelOnDevice& model) {
  Stream stream;
  std::vector<float> weights(model.weights.count());
  if (!weights.empty()) model.weights.download(stream, weights.data());
  const uint64_t settings =
      hash_text(json_text(model.model.configured.config) + json_text(scheduler_config_json(model.scheduler)));
  return std::to_string(hash_bytes(settings, weights.data(), weights.size() * sizeof(float)));
}

}  // namespace ito
