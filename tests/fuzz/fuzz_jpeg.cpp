// SPDX-License-Identifier: Apache-2.0
// JPEG, and its conversion to the other number of channels.
#include "engine/io/image.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {

void fuzz_jpeg(Bytes bytes) {
  const Image image = decode_jpeg({bytes.begin(), bytes.end()}, "a.jpg");
  demand(image.height > 0 && image.width > 0 && (image.channels == 1 || image.channels == 3), "an image has pixels");
  demand(image.pixels.size() == image.offset(image.height - 1, image.width - 1, image.channels - 1) + 1,
         "every pixel is there");
  if (image.pixels.size() <= 65536) convert_channels(image, image.channels == 1 ? 3 : 1);
}

}  // namespace ito
