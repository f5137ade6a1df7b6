// SPDX-License-Identifier: Apache-2.0
// See model_on_device.h.
#include "models/model_on_device.h"

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/checkpoint/weights.h"

namespace ito {

ModelOnDevice load_model(const std::string& path, int height, int width, const std::string& average) {
  ModelOnDevice loaded;
  loaded.model = read_model(path);
  if (!average.empty()) take_average(loaded.model.files, average);
  take_kernels_of(loaded.model.files);
  loaded.scheduler = loaded.model.scheduler();
  loaded.network = loaded.model.network(height, width);
  const ParameterLayout layout = parameters_of(loaded.network);
  if (layout.all().empty()) return loaded;
  const std::vector<float> arena = read_weights(loaded.model.weights_file(), layout);
  Stream stream;
  loaded.weights = DeviceBuffer<float>(arena.size(), "weights");
  loaded.weights.upload(stream, arena.data());
  return loaded;
}

}  // namespace ito
