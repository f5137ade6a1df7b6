// SPDX-License-Identifier: Apache-2.0
// What every function of a backend does around its work: one at a time, no exception out, warnings told when it is
// done.
#pragma once
#include "tools/library/backend.h"

namespace ito {

void set_library_host(const LibraryHost* host);
ito_status guarded_call(const void* work, void (*run)(const void* work)) noexcept;
// Runs `work` while no other call runs. An exception becomes the host's error and the status that it stands for.
template <class Work>
ito_status guarded(const Work& work) {
  return guarded_call(&work, [](const void* at) { (*static_cast<const Work*>(at))(); });
}

}  // namespace ito
