// SPDX-License-Identifier: Apache-2.0
// Tests of several ranks: a test starts its program again under mpirun, and is then one of them.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace ito {

// Text and exit status of a command; both streams.
struct Outcome {
  std::string text;
  int status = -1;
};
inline Outcome run_command(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(("{ " + command + " ; } 2>&1").c_str(), "r");
  if (!pipe) return outcome;
  char part[1024];
  for (size_t n = 0; (n = fread(part, 1, sizeof part, pipe)) > 0;) outcome.text.append(part, n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

inline bool is_child() {
  return getenv("ITO_TEST_IS_RANK") != nullptr;
}

// This test alone, once more. MPI's memory is no leak of ours; waiting ranks leave the processor to the others.
inline std::string this_test(const std::string& variables, int seconds = 20) {
  char program[4096] = "";
  (void)!readlink("/proc/self/exe", program, sizeof program - 1);
  const testing::TestInfo& info = *testing::UnitTest::GetInstance()->current_test_info();
  return "ASAN_OPTIONS=detect_leaks=0 ITO_TEST_IS_RANK=1 OMP_NUM_THREADS=1 OMPI_MCA_mpi_yield_when_idle=1 "
         "OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none " +
         variables + " timeout " + std::to_string(seconds) + " $LAUNCH '" + program +
         "' --gtest_brief=1 --gtest_filter=" + info.test_suite_name() + "." + info.name();
}

// seconds: after which all are ended, and the status is not 0.
inline Outcome run_ranks(int ranks, const std::string& variables = "ITO_MPI_MODULE=" ITO_MPI_MODULE_FILE,
                         int seconds = 20) {
  return run_command("export LAUNCH='mpirun --allow-run-as-root --oversubscribe --bind-to none -n " +
                     std::to_string(ranks) + "'; " + this_test(variables, seconds));
}

class Ranks : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string(ITO_MPI_MODULE_FILE).empty()) GTEST_SKIP() << "built without MPI: install libopenmpi-dev";
  }
};

}  // namespace ito
