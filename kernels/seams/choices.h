// SPDX-License-Identifier: Apache-2.0
// What a device library computes with, in words: its library, the version and the instruction set that are in effect in
// this process. Part of the device seam: each device library defines it. Two processes with different texts may round
// differently; with equal texts, and equal ConvLayer::implementations(), they choose the same kernels.
#pragma once
#include <string>

namespace ito {

// One line, a function of the library, the machine and the environment alone, e.g. "cpu, oneDNN 2.6.3, AVX2".
std::string kernel_choices();

// What the user does to have the choices of another process, of which `choices` is the text, in a process here, e.g.
// "set ONEDNN_MAX_CPU_ISA=AVX2"; "" where nothing is known to.
std::string advice_for_choices(const std::string& choices);

}  // namespace ito
