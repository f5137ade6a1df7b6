// SPDX-License-Identifier: Apache-2.0
// Names for files that people give as a data set and that are not read.
#pragma once

#include <string>

namespace ito {

// "a zip archive; unpack it and give the folder", by the first bytes of a file; "" for a folder or what is not known.
std::string foreign_file(const std::string& path);

}  // namespace ito
