// SPDX-License-Identifier: Apache-2.0
// See foreign_config.h.
#include "engine/checkpoint/foreign_config.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char* kMergeFirst = ", which changes a model and is none; merge it into its model first";

constexpr const char* kSchedulerKeys[] = {"num_train_timesteps",    "beta_start",      "beta_end",      "beta_schedule",
                                          "trained_betas",          "prediction_type", "variance_type", "clip_sample",
                                          "rescale_betas_zero_snr", "timestep_spacing"};

bool has_all(const Json& object, std::initializer_list<const char*> keys) {
  return std::all_of(keys.begin(), keys.end(), [&](const char* key) { return object.contains(key); });
}

std::string text_of(const Json& object, const char* key) {
  return printable(object.value(key, Json()).dump(), 60);
}

}  // namespace

std::string foreign_config(const Json& object) {
  if (!object.is_object()) return "";
  if (has_all(object, {"data", "out", "model", "steps"}))
    return "the options of a training run; give the folder of the run, or one of its checkpoints";
  if (object.contains("peft_type")) return "an adapter (" + text_of(object, "peft_type") + ")" + kMergeFirst;
  if (object.contains("weight_map")) return "the index of a model in shards; give the folder that it is in";
  if (object.contains("model_type") || object.contains("architectures"))
    return "the configuration of another kind of model (model_type " + text_of(object, "model_type") + ")";
  return "";
}

void check_is_scheduler(const Json& object, const std::string& path) {
  ITO_USER_CHECK(object.is_object(), path, ": found ", object.type_name(), ", expected a JSON object of settings");
  const std::string foreign = foreign_config(object);
  ITO_USER_CHECK(foreign.empty(), path, ": is no scheduler but ", foreign);
  if (object.contains("_class_name")) {
    const Json& name = object["_class_name"];
    ITO_USER_CHECK(!name.is_string() || name.get_ref<const std::string&>().ends_with("Scheduler"), path,
                   ": _class_name is ", printable(name.dump(), 60), ", which is no scheduler");
    return;
  }
  const bool has_schedule = std::any_of(std::begin(kSchedulerKeys), std::end(kSchedulerKeys),
                                        [&](const char* key) { return object.contains(key); });
  ITO_USER_CHECK(has_schedule, path, ": has neither _class_name nor any key of a noise schedule (num_train_timesteps, ",
                 "beta_start, ...), so it is no scheduler's configuration");
}

void check_no_adapter(const std::string& folder) {
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "pytorch_lora_weights.safetensors"}) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    ITO_USER_CHECK(!std::filesystem::exists(path), path.string(), ": is an adapter", kMergeFirst);
  }
}

}  // namespace ito
