// SPDX-License-Identifier: Apache-2.0
// The words of a model on disk: names of files and folders, and of a run's checkpoints.
#pragma once
#include <cstdint>
#include <string>

namespace ito {

inline constexpr const char* kConfigFile = "config.json";  // of a component
inline constexpr const char* kWeightsFile = "diffusion_pytorch_model.safetensors";
inline constexpr const char* kModelIndexFile = "model_index.json";
inline constexpr const char* kSchedulerFolder = "scheduler";
inline constexpr const char* kSchedulerFile = "scheduler_config.json";
inline constexpr const char* kClassNamesFile = "class_names.json";       // a list, by label
inline constexpr const char* kLatentsFile = "latents.json";              // of a network of another one's codes
inline constexpr const char* kStatisticsFile = "level_statistics.json";  // what was measured by timestep
inline constexpr const char* kKernelsFile = "kernels.json";              // what its layers were run by
inline constexpr const char* kTrainingStateFile = "ito_state.safetensors";
inline constexpr const char* kMetricsFile = "metrics.jsonl";  // of a run
inline constexpr const char* kLatestFile = "latest";          // of a run: the name of its newest checkpoint

// A further average of a run's weights, as a variant of the weights file: diffusers' variant="ema-NAME".
inline std::string average_file(const std::string& name) {
  return "diffusion_pytorch_model.ema-" + name + ".safetensors";
}

// checkpoint-000600
inline std::string checkpoint_name(int64_t step) {
  const std::string digits = std::to_string(step);
  return "checkpoint-" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

}  // namespace ito
