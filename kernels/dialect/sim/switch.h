// SPDX-License-Identifier: Apache-2.0
// Switching stacks (x86-64 and aarch64). See switch.cpp.
#pragma once

namespace ito::dialect {

// A stack pointer that, switched to, calls entry(argument); entry must never return.
void* prepare_stack(void* top, void (*entry)(void*), void* argument);

}  // namespace ito::dialect

// Keeps the present stack pointer in *from and continues where `to` was kept.
extern "C" void ito_sim_switch(void** from, void* to);
