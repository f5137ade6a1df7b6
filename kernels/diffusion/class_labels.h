// SPDX-License-Identifier: Apache-2.0
// Class numbers of a batch, some or all of them replaced by the label of no class: what classifier-free guidance is
// taught by and asks for (Ho and Salimans 2022).
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// labels (N), all of them.
void set_labels(Stream& stream, int32_t* labels, int32_t label, int n);
// Each of labels (N) becomes `label` with this chance, 0 to 1, in multiples of 2^-24: drawn from the image's counter,
// so that the batch and its passes do not matter.
void drop_labels(Stream& stream, int32_t* labels, float chance, int32_t label, const SampleCounter& counter, int n);

}  // namespace ito
