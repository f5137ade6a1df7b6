// SPDX-License-Identifier: Apache-2.0
// The convolution of conv_sm80.h and its data gradient in Hopper's instructions: filters packed the same, the same sums
// rounded once, in another order. For a seam that has found it right and faster on its card; the default nowhere.
#pragma once
#include "kernels/nn/conv_sm80.h"

namespace ito {

// As many blocks as an H100 or H200 has multiprocessors: the shared memory of a block leaves room for no other.
constexpr int kConvSm90Blocks = 132;

// Whether this device has the instructions (Hopper, sm_90, alone; sim).
bool conv_sm90_runs();

// Null if the kernel takes the shape, else why not. It takes channels in multiples of 8, strides 1 and 2, two tensors
// side by side and a shortcut; no upsampling.
const char* conv_sm90_refusal(const ConvSm80Shape& shape);

// As conv_sm80_forward; epilogue.moments must be null. At most `blocks` blocks share the tiles; no bit depends on it.
void conv_sm90_forward(Stream& stream, bf16* y, const ConvSm80Input& input, const bf16* packed,
                       const ConvSm80Epilogue& epilogue, const ConvSm80Shape& shape, int n,
                       int blocks = kConvSm90Blocks);

// dx (N, H, W, C): the gradient of one input tensor at stride 1; what is refused besides.
const char* conv_sm90_data_refusal(const ConvSm80Shape& shape);
void conv_sm90_backward_data(Stream& stream, bf16* dx, Write write, const bf16* dy, const bf16* packed,
                             const ConvSm80Shape& shape, int n, int blocks = kConvSm90Blocks);

}  // namespace ito
