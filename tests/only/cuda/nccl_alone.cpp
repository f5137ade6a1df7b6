// SPDX-License-Identifier: Apache-2.0
// NCCL with one rank, which one card is enough for: every call that comm.cpp makes, as it makes it, at once and
// captured into a graph. A run of one rank never opens NCCL, so nothing else does on such a machine.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/seams/cuda/nccl_library.h"
#include "kernels/seams/cuda/session.h"

namespace ito {
namespace {

constexpr size_t kBytes = size_t{3} << 20;

std::vector<char> pattern(int seed) {
  std::vector<char> bytes(kBytes);
  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<char>(i * 7 + static_cast<size_t>(seed) + i / 251);
  return bytes;
}

TEST(NcclAlone, MovesBytesAtOnceAndCaptured) {
  const cuda::Nccl* api = nullptr;
  try {
    api = &cuda::nccl();
  } catch (const UserError& e) {
    GTEST_SKIP() << e.what();
  }
  const auto ok = [&](ncclResult_t status, const char* call) {
    ASSERT_EQ(status, ncclSuccess) << call << ": " << api->ncclGetErrorString(status);
  };
  int version = 0;
  ok(api->ncclGetVersion(&version), "ncclGetVersion");
  EXPECT_GE(version, 21800);

  Stream stream("nccl alone");
  ncclUniqueId id{};
  ncclComm_t comm = nullptr;
  ok(api->ncclGetUniqueId(&id), "ncclGetUniqueId");
  ASSERT_NO_FATAL_FAILURE(ok(api->ncclCommInitRank(&comm, 1, id, 0), "ncclCommInitRank"));
  const std::unique_ptr<void, void (*)(void*)> memory(device_allocate(3 * kBytes, "test"), device_free);
  char* const from = static_cast<char*>(memory.get());
  char* const to = from + kBytes;
  char* const gathered = to + kBytes;
  const auto exchange = [&] {
    const cudaStream_t native = cuda::native_stream(stream);
    ok(api->ncclGroupStart(), "ncclGroupStart");
    ok(api->ncclSend(from, kBytes, ncclInt8, 0, comm, native), "ncclSend");
    ok(api->ncclRecv(to, kBytes, ncclInt8, 0, comm, native), "ncclRecv");
    ok(api->ncclGroupEnd(), "ncclGroupEnd");
    ok(api->ncclAllGather(to, gathered, kBytes, ncclInt8, comm, native), "ncclAllGather");
    ok(api->ncclBroadcast(gathered, gathered, kBytes, ncclInt8, 0, comm, native), "ncclBroadcast");
  };
  const auto expect_moved = [&](const std::vector<char>& bytes, const char* when) {
    for (const char* place : {to, gathered}) {
      std::vector<char> got(kBytes);
      copy_to_host(stream, got.data(), place, kBytes);
      EXPECT_TRUE(got == bytes) << when << (place == to ? ": send and receive" : ": all-gather");
    }
  };

  copy_to_device(stream, from, pattern(1).data(), kBytes);
  exchange();  // connections are made at their first use, which a capture does not allow
  expect_moved(pattern(1), "at once");
  Graph graph = stream.capture(exchange);
  for (int turn = 2; turn < 4; ++turn) {
    copy_to_device(stream, from, pattern(turn).data(), kBytes);
    fill_bytes(stream, to, 0, 2 * kBytes);
    stream.replay(graph);
    expect_moved(pattern(turn), "captured");
  }
  graph = Graph();  // whose end NCCL waits for
  ok(api->ncclCommDestroy(comm), "ncclCommDestroy");
}

}  // namespace
}  // namespace ito
