// SPDX-License-Identifier: Apache-2.0
// See label_rows.h.
#include "engine/data/label_rows.h"

#include <cmath>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {

std::vector<float> read_label_rows(const std::string& path, int64_t width) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("labels"), path, ": has no tensor 'labels'");
  const std::vector<int64_t>& shape = file.entry("labels").shape;
  const bool fits =
      !shape.empty() && shape[0] >= 1 && (shape.size() == 2 ? shape[1] == width : shape.size() == 1 && width == 1);
  ITO_USER_CHECK(fits, path, ": tensor 'labels' has shape ", shape_text(shape), "; the model takes [M, ", width, "]",
                 width == 1 ? " or [M]" : "");
  std::vector<float> rows = file.read_f32("labels");
  for (const float value : rows)
    ITO_USER_CHECK(std::isfinite(value), path, ": labels holds ", value, "; expected finite numbers");
  return rows;
}

}  // namespace ito
