// SPDX-License-Identifier: Apache-2.0
// Ranks that exchange bytes. Tests of several ranks start this program again under mpirun, and are then one of them.
#include "kernels/seams/comm.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "tests/only/host/run_ranks.h"

namespace ito {
namespace {

struct Memory {
  explicit Memory(size_t size) : bytes(size), data(static_cast<char*>(device_allocate(size, "test"))) {}
  ~Memory() { device_free(data); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  size_t bytes;
  char* data;
};

std::vector<char> read(Stream& stream, const Memory& memory) {
  std::vector<char> host(memory.bytes);
  copy_to_host(stream, host.data(), memory.data, memory.bytes);
  return host;
}
void write(Stream& stream, Memory& memory, const std::vector<char>& host) {
  copy_to_device(stream, memory.data, host.data(), memory.bytes);
}

// What one rank sends to another in a round: sizes differ by pair, and some are nothing.
size_t length(int from, int to) {
  const int kind = (from * 5 + to * 3) % 7;
  return kind == 3 ? 0 : static_cast<size_t>(kind * 1000 + from + 1);
}
char byte_of(int from, int to, size_t i, int round) {
  return static_cast<char>(from * 31 + to * 17 + static_cast<int>(i % 251) + round * 7);
}

// Messages to all, itself included, packed in the order of peers.
struct Packed {
  std::vector<size_t> offset;
  size_t bytes = 0;
};
Packed packed(int size, const std::function<size_t(int)>& length_of) {
  Packed p;
  for (int peer = 0; peer < size; ++peer) {
    p.offset.push_back(p.bytes);
    p.bytes += length_of(peer);
  }
  return p;
}

std::vector<char> outgoing(int rank, int size, int round) {
  std::vector<char> bytes;
  for (int peer = 0; peer < size; ++peer)
    for (size_t i = 0; i < length(rank, peer); ++i) bytes.push_back(byte_of(rank, peer, i, round));
  return bytes;
}
std::vector<char> incoming(int rank, int size, int round) {
  std::vector<char> bytes;
  for (int peer = 0; peer < size; ++peer)
    for (size_t i = 0; i < length(peer, rank); ++i) bytes.push_back(byte_of(peer, rank, i, round));
  return bytes;
}

constexpr size_t kOwn = 777;
char own_byte(int rank, size_t i, int round) {
  return byte_of(rank, 9, i, round);
}

// All verbs on device memory, from fresh bytes a round: what `run` does with the launches is run or replayed.
class Verbs {
 public:
  explicit Verbs(Communicator& comm)
      : comm_(comm),
        out_layout_(packed(comm.size(), [&](int peer) { return length(comm.rank(), peer); })),
        in_layout_(packed(comm.size(), [&](int peer) { return length(peer, comm.rank()); })),
        out_(out_layout_.bytes),
        in_(in_layout_.bytes),
        own_(kOwn),
        all_(kOwn * static_cast<size_t>(comm.size())),
        one_(kOwn) {}

  void launch(Stream& stream) {
    std::vector<Send> sends;
    std::vector<Receive> receives;
    for (int peer = 0; peer < comm_.size(); ++peer) {
      const auto at = static_cast<size_t>(peer);
      sends.push_back({peer, out_.data + out_layout_.offset[at], length(comm_.rank(), peer)});
      receives.push_back({peer, in_.data + in_layout_.offset[at], length(peer, comm_.rank())});
    }
    comm_.exchange(stream, sends, receives);
    comm_.all_gather(stream, all_.data, own_.data, kOwn);
    comm_.broadcast(stream, one_.data, kOwn, root());
    comm_.broadcast(stream, one_.data, 0, 0);
    comm_.all_gather(stream, all_.data, own_.data, 0);
  }

  void fill(Stream& stream, int round) {
    write(stream, out_, outgoing(comm_.rank(), comm_.size(), round));
    std::vector<char> own(kOwn);
    for (size_t i = 0; i < kOwn; ++i) own[i] = own_byte(comm_.rank(), i, round);
    write(stream, own_, own);
    write(stream, one_, own);
    fill_bytes(stream, in_.data, 0x55, in_.bytes);
    fill_bytes(stream, all_.data, 0x55, all_.bytes);
  }

  void expect(Stream& stream, int round) {
    EXPECT_EQ(read(stream, in_), incoming(comm_.rank(), comm_.size(), round)) << "round " << round;
    std::vector<char> all, one;
    for (int rank = 0; rank < comm_.size(); ++rank)
      for (size_t i = 0; i < kOwn; ++i) all.push_back(own_byte(rank, i, round));
    for (size_t i = 0; i < kOwn; ++i) one.push_back(own_byte(root(), i, round));
    EXPECT_EQ(read(stream, all_), all) << "round " << round;
    EXPECT_EQ(read(stream, one_), one) << "round " << round;
  }

 private:
  int root() const { return comm_.size() - 1; }
  Communicator& comm_;
  Packed out_layout_, in_layout_;
  Memory out_, in_, own_, all_, one_;
};

void expect_all_verbs() {
  Communicator comm = start_communicator();
  Stream stream;
  {
    Verbs verbs(comm);
    const Graph graph = stream.capture([&] { verbs.launch(stream); });  // the first use
    verbs.fill(stream, 1);
    verbs.launch(stream);
    verbs.expect(stream, 1);
    for (const int round : {2, 3}) {
      verbs.fill(stream, round);
      stream.replay(graph);
      verbs.expect(stream, round);
    }
  }
  std::vector<std::string> texts;  // of lengths that differ, one empty
  for (int rank = 0; rank < comm.size(); ++rank) texts.emplace_back(static_cast<size_t>(3 * rank), 'a');
  EXPECT_EQ(comm.gather_text(texts[static_cast<size_t>(comm.rank())]), texts);
  EXPECT_EQ(comm.local_rank(), comm.rank());  // one host
  EXPECT_FALSE(comm.host().empty());
  comm.barrier();
  if (const char* size = getenv("OMPI_COMM_WORLD_SIZE")) {
    EXPECT_EQ(comm.size(), atoi(size));
    EXPECT_EQ(comm.rank(), atoi(getenv("OMPI_COMM_WORLD_RANK")));
  }
}

TEST(RankAlone, CopiesAndOpensNothing) {
  expect_all_verbs();
  expect_all_verbs();  // as often as wanted
  abort_ranks("alone, this returns", 3);
  std::ifstream maps("/proc/self/maps");
  const std::string mapped((std::istreambuf_iterator<char>(maps)), {});
  for (const char* library : {"ito-mpi", "libmpi"}) EXPECT_EQ(mapped.find(library), std::string::npos);
}

TEST_F(Ranks, EveryVerbGivesItsBytes) {
  if (is_child()) return expect_all_verbs();
  for (const int ranks : {1, 2, 3, 4}) {
    const Outcome outcome = run_ranks(ranks);
    EXPECT_EQ(outcome.status, 0) << ranks << " ranks: " << outcome.text;
  }
}

// A size that the two ends do not agree on is an error, not other bytes or a wait.
TEST_F(Ranks, SizesThatDifferAreRefused) {
  if (is_child()) {
    Communicator comm = start_communicator();
    Stream stream;
    Memory memory(96);
    const int peer = 1 - comm.rank();
    const Send send{peer, memory.data, 32};
    const Receive receive{peer, memory.data + 32, comm.rank() ? 32u : 48u};
    try {
      comm.exchange(stream, {&send, 1}, {&receive, 1});
    } catch (const Error& e) {
      comm.abort(e.what(), 3);
    }
    comm.barrier();
    return;
  }
  const Outcome outcome = run_ranks(2);
  EXPECT_EQ(outcome.status, 3) << outcome.text;
  EXPECT_NE(outcome.text.find("rank 0 of 2 on "), std::string::npos) << outcome.text;
  EXPECT_NE(outcome.text.find("rank 1 sent 32 bytes, expected 48"), std::string::npos) << outcome.text;
}

// One rank fails while the others wait for it, and its error reaches the top when the communicator is gone.
TEST_F(Ranks, OneThatFailsEndsAll) {
  if (is_child()) {
    try {
      Communicator comm = start_communicator();
      if (comm.rank() == 1) fail("the planted error");
      comm.barrier();
    } catch (const Error& e) {
      abort_ranks(e.what(), 5);
    }
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = run_ranks(3);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  EXPECT_EQ(outcome.status, 5) << outcome.text;
  const size_t at = outcome.text.find("rank 1 of 3 on ");
  ASSERT_NE(at, std::string::npos) << outcome.text;
  const std::string line = outcome.text.substr(at, outcome.text.find('\n', at) - at);
  EXPECT_NE(line.find(": the planted error"), std::string::npos) << line;
}

// What has no chance to say a word is seen by the launcher.
TEST_F(Ranks, OneThatIsKilledEndsAll) {
  if (is_child()) {
    Communicator comm = start_communicator();
    if (comm.rank() == 1) raise(SIGKILL);
    comm.barrier();
    return;
  }
  const Outcome outcome = run_ranks(3);
  EXPECT_NE(outcome.text.find("rank 1 with PID"), std::string::npos) << outcome.text;  // mpirun's own words
  EXPECT_NE(outcome.text.find("signal 9"), std::string::npos) << outcome.text;
  EXPECT_NE(outcome.status, 124) << "ended by the test's own limit: " << outcome.text;
}

// The one line of a start that is refused.
Outcome refusal(const std::string& variables) {
  return run_command("export LAUNCH=; " + this_test(variables));
}
void print_refusal() {
  try {
    start_communicator();
  } catch (const UserError& e) {
    std::printf("REFUSED %s END\n", e.what());
  }
}
std::string refused(const Outcome& outcome) {
  const size_t at = outcome.text.find("REFUSED "), end = outcome.text.find(" END\n", at);
  if (at == std::string::npos || end == std::string::npos) return "not refused: " + outcome.text;
  return outcome.text.substr(at + 8, end - at - 8);
}

TEST_F(Ranks, SingletonsOfALauncherAreRefused) {
  if (is_child()) return print_refusal();
  const std::string none = refused(refusal("ITO_MPI_MODULE=" ITO_MPI_MODULE_FILE " SLURM_NTASKS=2 SLURM_PROCID=0"));
  EXPECT_EQ(none,
            "SLURM_NTASKS is 2, but srun gave this task no way to the others; start with srun and its pmix plugin");
  for (const char* variables : {"SLURM_NTASKS=2 SLURM_PROCID=0 PMI_FD=3", "OMPI_COMM_WORLD_SIZE=2", "PMI_SIZE=2"}) {
    const std::string line = refused(refusal(std::string("ITO_MPI_MODULE=" ITO_MPI_MODULE_FILE " ") + variables));
    EXPECT_NE(line.find(" is 2, but MPI started with 1 rank on "), std::string::npos) << variables << ": " << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(RanksWithoutMpi, AreRefused) {
  if (is_child()) return print_refusal();
  for (const auto& [module, part] : std::vector<std::pair<std::string, std::string>>{
           {"/nowhere/ito-mpi.so", "install openmpi-bin"}, {"/proc/self/status", "does not load"}}) {
    const std::string line = refused(refusal("OMPI_COMM_WORLD_SIZE=2 ITO_MPI_MODULE=" + module));
    EXPECT_NE(line.find(module), std::string::npos) << line;
    EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace ito
