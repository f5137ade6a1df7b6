// SPDX-License-Identifier: Apache-2.0
// A loaded model with its network guided (engine/program/guided_network.h), by itself or by another model, whose
// weights then stand in one arena with its own.
#pragma once
#include <string>

#include "engine/program/guided_network.h"
#include "models/model_on_device.h"

namespace ito {

// weight: with its interval in the network's own time. guide: anything that find_model knows, or "": the model itself
// without a class. UserError where the model has no classes to leave out, or the guide does not fit: another image,
// prediction, schedule or number of classes. The density of a model that is known in closed form is no longer that.
ModelOnDevice guided_model(ModelOnDevice model, const GuidanceWeight& weight, const std::string& guide);

}  // namespace ito
