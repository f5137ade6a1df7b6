// SPDX-License-Identifier: Apache-2.0
// Where the device is the host nothing is told: see profiler.h.
#include "kernels/seams/profiler.h"

#include "kernels/seams/host/stream.h"

namespace ito {

void profiler_start() {}
void profiler_stop() {}
void wait_for_each_launch(bool) {}

size_t captured_nodes(const Stream& stream) {
  return stream.capturing() ? stream.impl().recording()->graph->nodes.size() : 0;
}

}  // namespace ito
