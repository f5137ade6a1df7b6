// SPDX-License-Identifier: Apache-2.0
// Encodes boxes for the tensor memory accelerator. The driver's function is asked for by name, so that a program needs
// no driver to link or to start.
#include "kernels/dialect/cuda/tma_map.h"

#include <cuda.h>

#include <cstring>

#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

EncodeTiled encode_tiled() {
  static const EncodeTiled function = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found),
               "tma_map");
    ITO_CHECK(entry && found == cudaDriverEntryPointSuccess,
              "tma_map: the driver has no cuTensorMapEncodeTiled; install one of CUDA 12.0 or later");
    return reinterpret_cast<EncodeTiled>(entry);
  }();
  return function;
}

CUtensorMapSwizzle swizzle_of(TileRows rows) {
  switch (rows) {
    case TileRows::Bytes128:
      return CU_TENSOR_MAP_SWIZZLE_128B;
    case TileRows::Bytes64:
      return CU_TENSOR_MAP_SWIZZLE_64B;
    case TileRows::Bytes32:
      return CU_TENSOR_MAP_SWIZZLE_32B;
    case TileRows::Plain:
      break;
  }
  return CU_TENSOR_MAP_SWIZZLE_NONE;
}

}  // namespace

TmaMap tma_map(const TmaBox& box) {
  check_tma_box(box);
  cuuint64_t size[TmaBox::kMaxRank], stride[TmaBox::kMaxRank];
  cuuint32_t spans[TmaBox::kMaxRank], step[TmaBox::kMaxRank];
  for (int d = 0; d < box.rank; ++d) {
    size[d] = static_cast<cuuint64_t>(box.size[d]);
    if (d > 0) stride[d - 1] = static_cast<cuuint64_t>(box.stride[d]);
    spans[d] = static_cast<cuuint32_t>(box.box[d]);
    step[d] = static_cast<cuuint32_t>(box.step[d]);
  }
  CUtensorMap map;
  const CUresult status =
      encode_tiled()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(box.rank),
                     const_cast<void*>(box.base), size, stride, spans, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                     swizzle_of(box.rows), CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  ITO_CHECK(status == CUDA_SUCCESS, "tma_map: the driver refuses a box of ", box.bytes(), " bytes in ", box.rank,
            " dimensions with error ", static_cast<int>(status));
  TmaMap out;
  static_assert(sizeof out == sizeof map);
  std::memcpy(&out, &map, sizeof out);
  return out;
}

bool device_has_wgmma() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9;
}

}  // namespace ito
