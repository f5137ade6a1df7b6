// SPDX-License-Identifier: Apache-2.0
// The profiler seam: what a profiler that is attached from outside is told, and what a profile from inside needs of the
// device. On cpu and sim there is no such profiler, and a launch has run when its range ends.
#pragma once
#include <cstddef>

namespace ito {

class Stream;

// The window that `nsys profile -c cudaProfilerApi` and `ncu --profile-from-start off` wait for.
void profiler_start();
void profiler_stop();

// true: a launch outside a captured graph is waited for inside its range, so that the range has the launch's time.
void wait_for_each_launch(bool wait);

// Nodes of the graph that the stream is capturing, so far; else 0.
size_t captured_nodes(const Stream& stream);

}  // namespace ito
