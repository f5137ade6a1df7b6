// SPDX-License-Identifier: Apache-2.0
// Encoded images into a data set: by several threads into memory where they fit there, and else each when it is asked
// for.
#pragma once

#include <memory>

#include "engine/data/encoded_images.h"
#include "engine/data/load_dataset.h"

namespace ito {

// Fills count, size, pixels or source, and listing_hash. The result, and which file an error names, do not depend on
// the threads: it is the first that has to be refused. In memory or not, an image has the same bytes.
// data.name and data.labels are there already.
void read_images(std::shared_ptr<const EncodedImages> images, const LoadOptions& options, Dataset& data);

}  // namespace ito
