// SPDX-License-Identifier: Apache-2.0
// What files of the engine and the command, of which targets take the readers, ask of a device library besides: here is
// none, and no reader gets as far.
#include "engine/inverse/measurement_operator.h"
#include "engine/ranks/shared_file.h"
#include "kernels/seams/conv.h"
#include "kernels/seams/device.h"
#include "kernels/seams/kernel_table.h"

namespace ito {

int images_per_chunk() {
  return 4;
}

const char* device_name() {
  return "none";
}

void use_kernel_table(KernelTable /*table*/) {}

void write_together(const SafetensorsWriter& /*tensors*/, const std::string& /*path*/, Communicator& /*ranks*/) {}

void MeasurementOperator::pseudo_inverse(Stream& /*stream*/, float* /*x*/, const float* /*y*/, int /*n*/) {}

}  // namespace ito
