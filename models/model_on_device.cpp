// SPDX-License-Identifier: Apache-2.0
// See model_on_device.h.
#include "models/model_on_device.h"

#include "engine/checkpoint/weights.h"

namespace ito {

ModelOnDevice load_model(const std::string& path, int height, int width) {
  ModelOnDevice loaded;
  loaded.model = read_model(path);
  const std::string& weights = loaded.model.weights_file();
  loaded.scheduler = read_scheduler(loaded.model.files);
  loaded.network = loaded.model.network(height, width);
  const std::vector<float> arena = read_weights(weights, parameters_of(loaded.network));
  Stream stream;
  loaded.weights = DeviceBuffer<float>(arena.size(), "weights");
  loaded.weights.upload(stream, arena.data());
  return loaded;
}

}  // namespace ito
