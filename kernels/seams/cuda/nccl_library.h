// SPDX-License-Identifier: Apache-2.0
// NCCL, opened when several ranks start, and looked for where cuDNN is (library.h). Of its functions the program knows
// those that move bytes.
#pragma once
#include <cuda_runtime_api.h>
#include <nccl.h>

#include "kernels/seams/device.h"

#if NCCL_VERSION_CODE < 21800
#error "the CUDA build needs the headers of NCCL 2.18 or later: install libnccl-dev"
#endif

namespace ito::cuda {

#define ITO_NCCL_FUNCTIONS(X) \
  X(ncclGetVersion)           \
  X(ncclGetErrorString)       \
  X(ncclGetLastError)         \
  X(ncclGetUniqueId)          \
  X(ncclCommInitRank)         \
  X(ncclCommDestroy)          \
  X(ncclGroupStart)           \
  X(ncclGroupEnd)             \
  X(ncclSend)                 \
  X(ncclRecv)                 \
  X(ncclAllGather)            \
  X(ncclBroadcast)

#define ITO_FUNCTION_POINTER(name) decltype(&::name) name = nullptr;
struct Nccl {
  ITO_NCCL_FUNCTIONS(ITO_FUNCTION_POINTER)
};
#undef ITO_FUNCTION_POINTER

const Nccl& nccl();  // UserError in one line if it is not there

// Before the first use of the device: the rank's own of the cards that this process sees becomes its only one, so that
// every thread and every library finds it as card 0. A process that was given one card keeps it.
void choose_card(int local_rank);
// The value of CUDA_VISIBLE_DEVICES for it; null stands for all cards. UserError if the list is too short.
std::string card_of_rank(const char* visible, int local_rank);

}  // namespace ito::cuda
