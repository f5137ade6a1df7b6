// SPDX-License-Identifier: Apache-2.0
// What every function of a backend does around its work: one at a time, no exception out, warnings told when it is
// done.
#pragma once
#include <functional>

#include "tools/library/backend.h"

namespace ito {

void set_library_host(const LibraryHost* host);
// Runs `work` while no other call runs. An exception becomes the host's error and the status that it stands for.
ito_status guarded(const std::function<void()>& work);

}  // namespace ito
