// SPDX-License-Identifier: Apache-2.0
// A kernel table as a file: kernels.json of a checkpoint, which holds what its layers were run by, and what a tuning
// run writes.
//   {"device": "NVIDIA H100 80GB HBM3", "hash": "16 hexadecimal digits", "choices": {"forward 32x32x128 to ...":
//   "sm80"}}
// A device whose library leaves no choice (the cpu) has none.
#pragma once
#include <string>

#include "engine/checkpoint/find_model.h"
#include "engine/io/json_file.h"
#include "kernels/seams/kernel_table.h"

namespace ito {

std::string hash_of(const KernelTable& table);  // of device and choices
Json json_of(const KernelTable& table);
KernelTable read_kernel_table(const std::string& path);  // UserError where it is none, or not as it was written

// The user's table, for the layers made from now on. UserError where it was made on another device.
void take_kernel_table(const std::string& path);
// Those of a checkpoint, so that it goes on and is sampled with the bits that it was trained with: unless the user gave
// a table, or it was trained on another device, whose kernels are others anyway. A layer whose kernel is gone, with a
// newer library, takes another with a warning.
void take_kernels_of(const ModelFiles& files);

}  // namespace ito
