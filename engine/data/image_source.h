// SPDX-License-Identifier: Apache-2.0
// The images of a data set that stay where they are stored: each is fetched when it is asked for, decoded if need be.
#pragma once
#include <cstdint>

namespace ito {

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // Image `index` as bytes (H, W, C), all of the data set's shape. Several threads may ask at once. UserError that
  // names the file or the archive's member if it is damaged, gone, or of another shape.
  virtual void read(int64_t index, uint8_t* out_hwc) const = 0;
  // How many images a thread had best fetch at a time: one that is decoded is work enough.
  virtual int64_t run() const { return 1; }
};

}  // namespace ito
