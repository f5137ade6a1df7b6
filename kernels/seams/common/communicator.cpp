// SPDX-License-Identifier: Apache-2.0
// The communicator: what is the same on all devices. One rank alone copies; of several, each copies what it sends to
// itself, and the rest is MPI's on the host and the device library's on its memory.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <utility>

#include "kernels/seams/common/ranks.h"
#include "kernels/seams/common/start_watch.h"

namespace ito {

struct Communicator::Impl {
  MpiPlace place{};
  std::string host;
  std::shared_ptr<Ranks> ranks;  // null: alone
  std::unique_ptr<DeviceRanks> device;
};

namespace {

// Splits what goes to oneself off from the rest.
template <class Message>
std::vector<MpiMessage> split(std::span<const Message> messages, int rank, int size, std::vector<MpiMessage>& own) {
  std::vector<MpiMessage> others;
  for (const Message& m : messages) {
    ITO_CHECK(m.peer >= 0 && m.peer < size, "exchange: peer ", m.peer, " of ", size, " ranks");
    (m.peer == rank ? own : others).push_back({m.peer, const_cast<void*>(static_cast<const void*>(m.data)), m.bytes});
  }
  return others;
}

struct Messages {
  std::vector<MpiMessage> out, in;                     // to and from others
  std::vector<std::pair<MpiMessage, MpiMessage>> own;  // to where, from where
};
Messages messages_of(std::span<const Send> sends, std::span<const Receive> receives, int rank, int size) {
  std::vector<MpiMessage> from, to;
  Messages messages;
  messages.out = split(sends, rank, size, from);
  messages.in = split(receives, rank, size, to);
  ITO_CHECK(from.size() == to.size(), "exchange: rank ", rank, " sends itself ", from.size(), " messages and receives ",
            to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    ITO_CHECK(from[i].bytes == to[i].bytes, "exchange: rank ", rank, " sends itself ", from[i].bytes,
              " bytes and receives ", to[i].bytes);
    messages.own.emplace_back(to[i], from[i]);
  }
  return messages;
}

}  // namespace

std::shared_ptr<Ranks>& started_ranks() {
  static auto* const ranks = new std::shared_ptr<Ranks>;  // abort_ranks() may come late
  return *ranks;
}

Communicator::Communicator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Communicator::Communicator(Communicator&&) noexcept = default;

Communicator::~Communicator() {
  if (!impl_ || !impl_->ranks || std::uncaught_exceptions()) return;
  impl_->device.reset();
  try {
    impl_->ranks->finish();
  } catch (const std::exception& e) {
    warn(e.what());
  }
}

int Communicator::rank() const {
  return impl_->place.rank;
}
int Communicator::size() const {
  return impl_->place.size;
}
int Communicator::local_rank() const {
  return impl_->place.local_rank;
}
int Communicator::local_size() const {
  return impl_->place.local_size;
}
const std::string& Communicator::host() const {
  return impl_->host;
}

void Communicator::exchange(Stream& stream, std::span<const Send> sends, std::span<const Receive> receives) {
  Messages m = messages_of(sends, receives, rank(), size());
  for (const auto& [to, from] : m.own) copy_on_device(stream, to.data, from.data, to.bytes);
  if (!m.out.empty() || !m.in.empty()) impl_->device->exchange(stream, std::move(m.out), std::move(m.in));
}

void Communicator::exchange_on_host(std::span<const Send> sends, std::span<const Receive> receives) {
  const Messages m = messages_of(sends, receives, rank(), size());
  for (const auto& [to, from] : m.own)
    if (to.bytes) std::memcpy(to.data, from.data, to.bytes);
  if (!m.out.empty() || !m.in.empty()) impl_->ranks->exchange(m.out, m.in);
}

void Communicator::all_gather(Stream& stream, void* all, const void* own, size_t bytes) {
  if (bytes == 0) return;
  if (impl_->device) return impl_->device->all_gather(stream, all, own, bytes);
  if (all != own) copy_on_device(stream, all, own, bytes);
}

void Communicator::broadcast(Stream& stream, void* data, size_t bytes, int root) {
  ITO_CHECK(root >= 0 && root < size(), "broadcast: root ", root, " of ", size(), " ranks");
  if (bytes && impl_->device) impl_->device->broadcast(stream, data, bytes, root);
}

void Communicator::barrier() {
  if (impl_->ranks) impl_->ranks->barrier();
}

void Communicator::gather(void* all, const void* own, size_t bytes) {
  if (impl_->ranks) return impl_->ranks->gather(all, own, bytes);
  std::memcpy(all, own, bytes);
}

void Communicator::meet() {
  std::vector<char> all(static_cast<size_t>(size()));
  const char own = 0;
  if (impl_->ranks) impl_->ranks->gather(all.data(), &own, 1, start_limit());
}

std::vector<std::string> Communicator::gather_text(const std::string& text) {
  return impl_->ranks ? impl_->ranks->gather_text(text) : std::vector<std::string>{text};
}

void Communicator::abort(const std::string& message, int exit_code) {
  if (impl_->ranks) impl_->ranks->abort(message, exit_code);
  write_last_line(impl_->place, message);
  std::_Exit(exit_code);
}

namespace {

std::unique_ptr<Communicator::Impl> one_rank() {
  auto impl = std::make_unique<Communicator::Impl>();
  impl->place.size = impl->place.local_size = 1;
  gethostname(impl->place.host, sizeof impl->place.host - 1);
  impl->host = impl->place.host;
  return impl;
}

}  // namespace

Communicator lone_communicator() {
  return Communicator(one_rank());
}

Communicator start_communicator() {
  auto impl = one_rank();
  const Launcher launcher = launcher_of_environment();
  if (launcher.size == 1) return Communicator(std::move(impl));
  ITO_CHECK(!started_ranks(), "start_communicator: MPI starts once a process");
  const StartWatch watch(launcher);
  auto ranks = std::make_shared<Ranks>(launcher);
  impl->place = ranks->place();
  impl->host = impl->place.host;
  if (impl->place.size > 1) {
    started_ranks() = ranks;
    impl->device = make_device_ranks(ranks);
  }
  impl->ranks = std::move(ranks);
  return Communicator(std::move(impl));
}

void abort_ranks(const std::string& message, int exit_code) {
  if (started_ranks()) started_ranks()->abort(message, exit_code);
}

}  // namespace ito
