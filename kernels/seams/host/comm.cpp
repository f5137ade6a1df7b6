// SPDX-License-Identifier: Apache-2.0
// Verbs between ranks where the device's memory is the host's: MPI moves it inside the stream's order, at once or at
// each replay of a graph.
#include <cstring>

#include "kernels/launch_point.h"
#include "kernels/seams/common/ranks.h"

namespace ito {
namespace {

class HostRanks : public DeviceRanks {
 public:
  explicit HostRanks(std::shared_ptr<Ranks> ranks) : ranks_(std::move(ranks)) {}

  void exchange(Stream& stream, std::vector<MpiMessage> sends, std::vector<MpiMessage> receives) override {
    submit(stream, "exchange", [ranks = ranks_, sends = std::move(sends), receives = std::move(receives)] {
      ranks->exchange(sends, receives);
    });
  }

  void all_gather(Stream& stream, void* all, const void* own, size_t bytes) override {
    const MpiPlace& place = ranks_->place();
    std::vector<MpiMessage> sends, receives;
    const auto row = [&](int rank) { return static_cast<char*>(all) + static_cast<size_t>(rank) * bytes; };
    for (int step = 1; step < place.size;
         ++step) {  // each rank with another peer, so that none is asked by all at once
      sends.push_back({(place.rank + step) % place.size, const_cast<void*>(own), bytes});
      const int from = (place.rank + place.size - step) % place.size;
      receives.push_back({from, row(from), bytes});
    }
    if (row(place.rank) != own) copy_on_device(stream, row(place.rank), own, bytes);
    submit(stream, "all_gather", [ranks = ranks_, sends = std::move(sends), receives = std::move(receives)] {
      ranks->exchange(sends, receives);
    });
  }

  void broadcast(Stream& stream, void* data, size_t bytes, int root) override {
    submit(stream, "broadcast", [ranks = ranks_, data, bytes, root] { ranks->broadcast(data, bytes, root); });
  }

 private:
  std::shared_ptr<Ranks> ranks_;  // graphs may outlive the communicator; their replay is then an error, not a fault
};

}  // namespace

std::unique_ptr<DeviceRanks> make_device_ranks(std::shared_ptr<Ranks> ranks) {
  return std::make_unique<HostRanks>(std::move(ranks));
}

}  // namespace ito
