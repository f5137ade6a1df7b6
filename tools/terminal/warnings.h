// SPDX-License-Identifier: Apache-2.0
// Warnings of the engine and its kernels on standard error, on a line of their own although a progress line may be
// open.
#pragma once
#include <string>

namespace ito {

void print_warning_line(const std::string& text);

}  // namespace ito
