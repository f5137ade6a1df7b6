// SPDX-License-Identifier: Apache-2.0
// Image files into a data set, by several threads.
#pragma once

#include <string>
#include <vector>

#include "engine/data/load_dataset.h"

namespace ito {

// Fills count, size and pixels. The result, and which file an error names, do not depend on the threads: it is the
// first that has to be refused.
void read_images(const std::vector<std::string>& paths, const LoadOptions& options, Dataset& data);

}  // namespace ito
