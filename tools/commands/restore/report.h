// SPDX-License-Identifier: Apache-2.0
// What is said of restored images: restored.json, restored.png, a line in the terminal.
#pragma once
#include <string>

#include "engine/inverse/host_operator.h"
#include "engine/io/image.h"
#include "engine/io/json_file.h"
#include "tools/commands/restore/measurement_file.h"
#include "tools/commands/restore/parts.h"

namespace ito {

struct RestoreReport {
  Json json;
  std::string line;
};

// noise: s, in the units of x0.
RestoreReport report_on(const RestoredImages& images, const Measurements& measured, HostOperator& host, double noise,
                        int threads);

struct RestorePicture {
  Image image;
  std::string columns;  // in words
};

// A row for each of the first measurements: the truth, the measurement where it is an image of that shape, its
// pseudo-inverse, some samples, and of several draws their mean and deviation.
RestorePicture picture_of(const RestoredImages& images, const Measurements& measured, HostOperator& host);

}  // namespace ito
