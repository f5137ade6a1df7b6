// SPDX-License-Identifier: Apache-2.0
// Opening NCCL, and each rank's card.
#include "kernels/seams/cuda/nccl_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/seams/cuda/library.h"
#include "kernels/seams/cuda/stream.h"

namespace ito::cuda {
namespace {

Nccl load_nccl() {
  LibraryState state;
  state.title = "NCCL";
  void* library = open_library(join_text("libnccl.so.", NCCL_MAJOR).c_str(),
                               library_folders(getenv("ITO_CUDA_HOME"), getenv("ITO_CUDA_LIBRARIES")),
                               join_text("libnccl", NCCL_MAJOR).c_str(), state);
  ITO_USER_CHECK(library, "several ranks on GPUs need NCCL: ", state.error);
  Nccl f;
#define ITO_LOAD(name)                                                \
  f.name = reinterpret_cast<decltype(f.name)>(dlsym(library, #name)); \
  ITO_USER_CHECK(f.name, "NCCL at ", state.path, " has no " #name);
  ITO_NCCL_FUNCTIONS(ITO_LOAD)
#undef ITO_LOAD
  return f;
}

}  // namespace

const Nccl& nccl() {
  static const Nccl functions = load_nccl();
  return functions;
}

void choose_card(int local_rank) {
  const std::string card = card_of_rank(getenv("CUDA_VISIBLE_DEVICES"), local_rank);
  setenv("CUDA_VISIBLE_DEVICES", card.c_str(), 1);
  try {
    require_device();
  } catch (const UserError& e) {
    fail<UserError>("GPU ", card, ", which is that of rank ", local_rank, " of this host: ", e.what(),
                    "; start at most one rank a GPU");
  }
}

}  // namespace ito::cuda
