// SPDX-License-Identifier: Apache-2.0
// A stand-in for NCCL in sim: the functions as the header declares them, over MPI's exchange of host memory, so that
// the CUDA build's verbs run the seam's tests where there is no card. It holds the calls to what NCCL asks: an id of
// rank 0, sends and receives inside a group, nothing first used in a capture, no size of nothing.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/launch_point.h"
#include "kernels/seams/common/ranks.h"
#include "kernels/seams/cuda/nccl_library.h"
#include "kernels/seams/cuda/session.h"

namespace ito {
namespace {

constexpr char kId[] = "the id of rank 0";
bool chosen = false, in_group = false, used = false;
std::vector<MpiMessage> sends, receives;
Stream* group_stream = nullptr;

Stream& stream_of(cudaStream_t native) {
  return *reinterpret_cast<Stream*>(native);
}

ncclComm_t handle() {
  return reinterpret_cast<ncclComm_t>(&started_ranks());
}

bool refused(ncclComm_t comm, size_t count, ncclDataType_t type, Stream& stream) {
  if (stream.capturing() && !used) return true;
  return comm != handle() || count == 0 || type != ncclInt8;
}

ncclResult_t get_version(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
const char* error_string(ncclResult_t) {
  return "invalid usage";
}
const char* last_error(ncclComm_t) {
  return "two\nlines";
}
ncclResult_t unique_id(ncclUniqueId* id) {
  memcpy(id->internal, kId, sizeof kId);
  return ncclSuccess;
}
ncclResult_t init_rank(ncclComm_t* comm, int count, ncclUniqueId id, int rank) {
  if (!chosen || memcmp(id.internal, kId, sizeof kId) != 0) return ncclInvalidArgument;
  if (count != started_ranks()->place().size || rank != started_ranks()->place().rank) return ncclInvalidArgument;
  *comm = handle();
  return ncclSuccess;
}
ncclResult_t destroy(ncclComm_t comm) {
  return comm == handle() ? ncclSuccess : ncclInvalidArgument;
}
ncclResult_t group_start() {
  in_group = true;
  return ncclSuccess;
}
ncclResult_t group_end() {
  in_group = false;
  if (group_stream)
    submit(*group_stream, "group", [out = sends, in = receives] { started_ranks()->exchange(out, in); });
  used = used || group_stream;
  group_stream = nullptr;
  sends.clear();
  receives.clear();
  return ncclSuccess;
}
ncclResult_t send(const void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t native) {
  if (!in_group || refused(comm, count, type, stream_of(native))) return ncclInvalidUsage;
  group_stream = &stream_of(native);
  sends.push_back({peer, const_cast<void*>(data), count});
  return ncclSuccess;
}
ncclResult_t receive(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t native) {
  if (!in_group || refused(comm, count, type, stream_of(native))) return ncclInvalidUsage;
  group_stream = &stream_of(native);
  receives.push_back({peer, data, count});
  return ncclSuccess;
}
ncclResult_t gather(const void* own, void* all, size_t count, ncclDataType_t type, ncclComm_t comm,
                    cudaStream_t native) {
  if (refused(comm, count, type, stream_of(native))) return ncclInvalidUsage;
  submit(stream_of(native), "gather", [=] {
    for (int rank = 0; rank < started_ranks()->place().size; ++rank) {
      char* const row = static_cast<char*>(all) + static_cast<size_t>(rank) * count;
      if (rank == started_ranks()->place().rank && row != own) memcpy(row, own, count);
      started_ranks()->broadcast(row, count, rank);
    }
  });
  return ncclSuccess;
}
ncclResult_t broadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t native) {
  if (from != to || refused(comm, count, type, stream_of(native))) return ncclInvalidUsage;
  submit(stream_of(native), "broadcast", [=] { started_ranks()->broadcast(to, count, root); });
  return ncclSuccess;
}

TEST(CardOfRank, IsItsPlaceAmongThoseThatAreSeen) {
  EXPECT_EQ(cuda::card_of_rank(nullptr, 3), "3");
  EXPECT_EQ(cuda::card_of_rank("4,GPU-8932f937", 1), "GPU-8932f937");
  EXPECT_EQ(cuda::card_of_rank("5", 2), "5");  // the launcher chose
  EXPECT_EQ(cuda::card_of_rank("", 2), "");
  EXPECT_THROW(cuda::card_of_rank("4,7", 2), UserError);
}

}  // namespace

namespace cuda {

const Nccl& nccl() {
  static const Nccl functions = {get_version, error_string, last_error, unique_id, init_rank, destroy,
                                 group_start, group_end,    send,       receive,   gather,    broadcast};
  return functions;
}

void choose_card(int) {
  chosen = true;
}

cudaStream_t native_stream(Stream& stream) {
  return reinterpret_cast<cudaStream_t>(&stream);
}

}  // namespace cuda
}  // namespace ito
