// SPDX-License-Identifier: Apache-2.0
// What ranks compare before they begin, and the file that they write together.
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "engine/ranks/agreement.h"
#include "engine/ranks/shared_file.h"
#include "kernels/error.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/only/host/run_ranks.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

std::string where() {
  return getenv("ITO_TEST_OUT");
}
std::string in_folder(const TempFolder& folder) {
  return "ITO_TEST_OUT='" + folder.path() + "' ITO_MPI_MODULE=" ITO_MPI_MODULE_FILE;
}
template <class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
}

SafetensorsWriter tensors_of(Communicator& ranks) {
  SafetensorsWriter writer;
  for (int tensor = 0; tensor < 5; ++tensor) {
    const std::string name = std::string(1, static_cast<char>('e' - tensor));
    if (ranks.size() == 1 || tensor % ranks.size() == ranks.rank())
      writer.add(name, {100 + tensor}, std::vector<float>(static_cast<size_t>(100 + tensor), 0.5f + tensor));
    else
      writer.add_elsewhere(name, TensorType::F32, {100 + tensor});
  }
  writer.add_i64("step", {}, {7});  // which all have
  return writer;
}

using RankFiles = Ranks;

TEST_F(RankFiles, OneFileOfAllParts) {
  if (is_child()) {
    Communicator ranks = start_communicator();
    write_together(tensors_of(ranks), where() + "/together", ranks);
    return;
  }
  const TempFolder folder;
  Communicator alone = start_communicator();
  tensors_of(alone).write(folder / "alone");
  const Outcome outcome = run_ranks(3, in_folder(folder));
  ASSERT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_EQ(read_bytes(folder / "together"), read_bytes(folder / "alone"));
  EXPECT_GT(read_bytes(folder / "together").size(), 4u * 510);
}

// The second rank may write no file of this size.
TEST_F(RankFiles, WhatFailsOnOneFailsOnAllAndLeavesNothing) {
  if (is_child()) {
    Communicator ranks = start_communicator();
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{64, 64};
    if (ranks.rank() == 1) setrlimit(RLIMIT_FSIZE, &small);
    const std::string error = message([&] { write_together(tensors_of(ranks), where() + "/file", ranks); });
    EXPECT_TRUE(error.starts_with("rank 1 on " + ranks.host() + ": ")) << error;
    EXPECT_NE(error.find("/file: writing failed: File too large"), std::string::npos) << error;
    const std::string missing = message([&] { write_together(tensors_of(ranks), where() + "/no/file", ranks); });
    EXPECT_TRUE(missing.starts_with("rank 0 on ")) << missing;
    ranks.barrier();
    return;
  }
  const TempFolder folder;
  const Outcome outcome = run_ranks(2, in_folder(folder));
  EXPECT_EQ(outcome.status, 0) << outcome.text;
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST_F(RankFiles, RanksThatDifferAreNamed) {
  if (is_child()) {
    Communicator ranks = start_communicator();
    const auto told = [&](const std::string& own) {
      return message([&] { check_ranks_agree(ranks, {{"cards", "alike"}, {"options", own}}); });
    };
    EXPECT_EQ(told("alike"), "no error");
    EXPECT_EQ(told(ranks.rank() == 3 ? "b" : "a"),
              "the ranks differ in their options: ranks 0 to 2 and 4: a; rank 3: b; start all alike");
    const std::string same(200, 'x');
    const std::string end = "..." + std::string(24, 'x');
    EXPECT_EQ(told(same + (ranks.rank() % 2 ? "1" : "2")), "the ranks differ in their options: ranks 0, 2 and 4: " +
                                                               end + "2; ranks 1 and 3: " + end + "1; start all alike");
    EXPECT_EQ(of_any_rank(ranks, ranks.rank() == 4 ? 15 : 0), 15);
    EXPECT_EQ(of_any_rank(ranks, 0), 0);
    return;
  }
  const Outcome outcome = run_ranks(5);
  EXPECT_EQ(outcome.status, 0) << outcome.text;
}

// One that sleeps is named by those that wait.
TEST_F(RankFiles, OneThatDoesNotComeIsNamed) {
  if (is_child()) {
    Communicator ranks = start_communicator();
    if (ranks.rank() == 1) sleep(30);
    try {
      ranks.meet();
    } catch (const Error& e) {
      ranks.abort(e.what(), 3);
    }
    return;
  }
  const Outcome outcome = run_ranks(3, "ITO_START_LIMIT=3 ITO_MPI_MODULE=" ITO_MPI_MODULE_FILE);
  EXPECT_EQ(outcome.status, 3) << outcome.text;
  EXPECT_NE(outcome.text.find("after 3 s no word has come from rank 1\n"), std::string::npos) << outcome.text;
}

}  // namespace
}  // namespace ito
