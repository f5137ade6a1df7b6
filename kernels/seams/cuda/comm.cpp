// SPDX-License-Identifier: Apache-2.0
// Verbs between ranks on GPUs: NCCL moves bytes between cards, on the stream, and MPI only starts it. An error of a
// call is thrown; what a running transfer meets is seen by the launcher when its peer ends.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/seams/common/ranks.h"
#include "kernels/seams/cuda/nccl_library.h"
#include "kernels/seams/cuda/session.h"
#include "kernels/seams/ranges.h"

namespace ito {
namespace cuda {

std::string card_of_rank(const char* visible, int local_rank) {
  if (!visible) return std::to_string(local_rank);
  std::vector<std::string> cards(1);
  for (const char* c = visible; *c; ++c) {
    if (*c == ',')
      cards.emplace_back();
    else
      cards.back() += *c;
  }
  if (cards.size() == 1) return cards[0];
  ITO_USER_CHECK(static_cast<size_t>(local_rank) < cards.size(), "CUDA_VISIBLE_DEVICES=", visible, " lists ",
                 cards.size(), " GPUs, but this host has at least ", local_rank + 1, " ranks; start one rank a GPU");
  return cards[static_cast<size_t>(local_rank)];
}

namespace {

constexpr size_t kFirstBytes = 256;  // of the transfers that open the connections

class NcclRanks : public DeviceRanks {
 public:
  explicit NcclRanks(std::shared_ptr<Ranks> ranks) : ranks_(std::move(ranks)) {
    const MpiPlace& place = ranks_->place();
    choose_card(place.local_rank);
    api_ = &nccl();
    refuse_other_versions();
    Stream stream("start of ranks");  // and the device, which NCCL expects
    ncclUniqueId id{};
    if (place.rank == 0) check(api_->ncclGetUniqueId(&id), "ncclGetUniqueId");
    ranks_->broadcast(&id, sizeof id, 0);
    check(api_->ncclCommInitRank(&comm_, place.size, id, place.rank), "ncclCommInitRank");
    open_connections(stream);
  }

  ~NcclRanks() override {
    if (comm_) api_->ncclCommDestroy(comm_);
  }

  void exchange(Stream& stream, std::vector<MpiMessage> sends, std::vector<MpiMessage> receives) override {
    const Range range("exchange");
    check(api_->ncclGroupStart(), "ncclGroupStart");
    const cudaStream_t native = native_stream(stream);
    ncclResult_t status = ncclSuccess;  // the group ends whatever a call says
    for (const MpiMessage& m : sends)
      if (m.bytes && status == ncclSuccess) status = api_->ncclSend(m.data, m.bytes, ncclInt8, m.peer, comm_, native);
    for (const MpiMessage& m : receives)
      if (m.bytes && status == ncclSuccess) status = api_->ncclRecv(m.data, m.bytes, ncclInt8, m.peer, comm_, native);
    const ncclResult_t end = api_->ncclGroupEnd();
    check(status == ncclSuccess ? end : status, "exchange");
  }

  void all_gather(Stream& stream, void* all, const void* own, size_t bytes) override {
    const Range range("all_gather");
    check(api_->ncclAllGather(own, all, bytes, ncclInt8, comm_, native_stream(stream)), "ncclAllGather");
  }

  void broadcast(Stream& stream, void* data, size_t bytes, int root) override {
    const Range range("broadcast");
    check(api_->ncclBroadcast(data, data, bytes, ncclInt8, root, comm_, native_stream(stream)), "ncclBroadcast");
  }

 private:
  void check(ncclResult_t status, const char* call) const {
    if (status == ncclSuccess) return;
    const MpiPlace& place = ranks_->place();
    const char* last = api_->ncclGetLastError(comm_);
    std::string more = last && *last ? join_text(": ", last) : "";
    std::replace(more.begin(), more.end(), '\n', ' ');
    fail("rank ", place.rank, " of ", place.size, " on ", place.host, ": ", call, ": ",
         api_->ncclGetErrorString(status), more);
  }

  // Before anything waits: ranks of different versions can hang in each other.
  void refuse_other_versions() const {
    int version = 0;
    check(api_->ncclGetVersion(&version), "ncclGetVersion");
    const std::vector<std::string> versions = ranks_->gather_text(std::to_string(version));
    for (size_t rank = 1; rank < versions.size(); ++rank)
      ITO_USER_CHECK(versions[rank] == versions[0], "NCCL is version ", versions[0], " on rank 0 and ", versions[rank],
                     " on rank ", rank, "; install the same on all hosts");
  }

  // Connections are made at their first use, which a capture does not allow.
  void open_connections(Stream& stream) {
    const auto [rank, size] = std::pair(ranks_->place().rank, ranks_->place().size);
    const auto count = static_cast<size_t>(size);
    const std::unique_ptr<void, void (*)(void*)> memory(device_allocate(2 * count * kFirstBytes, "start of ranks"),
                                                        device_free);
    char* const out = static_cast<char*>(memory.get());
    char* const in = out + count * kFirstBytes;
    fill_bytes(stream, out, 0, 2 * count * kFirstBytes);
    std::vector<MpiMessage> sends, receives;
    for (int peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      sends.push_back({peer, out + static_cast<size_t>(peer) * kFirstBytes, kFirstBytes});
      receives.push_back({peer, in + static_cast<size_t>(peer) * kFirstBytes, kFirstBytes});
    }
    exchange(stream, sends, receives);
    all_gather(stream, in, out, kFirstBytes);
    broadcast(stream, in, kFirstBytes, 0);
    stream.synchronize();
  }

  std::shared_ptr<Ranks> ranks_;
  const Nccl* api_ = nullptr;
  ncclComm_t comm_ = nullptr;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<DeviceRanks> make_device_ranks(std::shared_ptr<Ranks> ranks) {
  return std::make_unique<cuda::NcclRanks>(std::move(ranks));
}

}  // namespace ito
