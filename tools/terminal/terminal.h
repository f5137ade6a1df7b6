// SPDX-License-Identifier: Apache-2.0
// What standard error is connected to, as far as lines on it depend on that.
#pragma once
#include <atomic>
#include <cstddef>

namespace ito {

// A terminal on which a line can be written over; TERM=dumb says that it cannot.
bool can_rewrite_line();

// Characters that a line of it takes without being wrapped, asked anew each time, since windows are resized; of a file
// or a pipe as many as one likes.
size_t line_room();

// Whether a line that will be written over stands on standard error now; a message rubs it out first.
extern std::atomic<bool> open_line;

}  // namespace ito
