// SPDX-License-Identifier: Apache-2.0
// Where launches and library calls meet the stream on the host (cpu and sim): the one function that the dialect needs
// of the seams, so that the dialect can be read without them.
#pragma once
#include <functional>

namespace ito {

class Stream;

// Runs the work under a range of that name, or records it when the stream captures. Library calls in seams go
// through it as kernels do. An error is rethrown with the name in front. Defined in seams/host/stream.cpp.
void submit(Stream& stream, const char* name, std::function<void()> work);

}  // namespace ito
