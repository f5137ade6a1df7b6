// SPDX-License-Identifier: Apache-2.0
// The command started by mpirun, as tests start it: more ranks than cores, which leave the processor to each other.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/tools/tiny_run.h"

namespace ito {

inline Words mpirun_words(int ranks) {
  return {"/usr/bin/env",
          "OMPI_MCA_mpi_yield_when_idle=1",
          "OMPI_MCA_btl=self,vader",
          "OMPI_MCA_btl_vader_single_copy_mechanism=none",
          "OMP_NUM_THREADS=1",
          "ASAN_OPTIONS=detect_leaks=0",  // MPI's memory is no leak of ours
          "mpirun",
          "--allow-run-as-root",
          "--oversubscribe",
          "--bind-to",
          "none",
          "-n",
          std::to_string(ranks)};
}

// `ito` on so many ranks, one thread each.
inline ChildResult run_ranks(int ranks, const Words& arguments) {
  Words words = mpirun_words(ranks);
  words.push_back(program_path("ito"));
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_child(words);
}

class RankCommand : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(program_path("ito-mpi.so")))
      GTEST_SKIP() << "built without MPI: install libopenmpi-dev";
  }
};

}  // namespace ito
