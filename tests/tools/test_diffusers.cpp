// SPDX-License-Identifier: Apache-2.0
// ito and diffusers read each other's models and compute the same: tests/parity/diffusers_round_trip.py, run in a
// Python environment that is made in the build tree at first use. One test, so that the program has one outcome.
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

constexpr const char* kPython = "/usr/bin/python3";
constexpr int kStoodIn = 77;  // the script's exit code where another network took diffusers' place

bool oracles_required() {
  const char* required = std::getenv("ITO_REQUIRE_ORACLES");
  return required && std::string(required) == "1";
}

TEST(Diffusers, RoundTrips) {
  // Nothing is looked up or reported over the network, and no packages of the user's home are seen.
  for (const char* name : {"HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE"})
    setenv(name, "1", 1);
  if (run_child({kPython, "-c", "import torch"}).exit_code != 0) {
    const std::string missing =
        join_text(kPython, " cannot import torch, the oracle of this test; install python3-torch");
    if (oracles_required()) FAIL() << missing;
    GTEST_SKIP() << missing;
  }
  const std::string scripts = ITO_SOURCE_DIR "/tests/parity/", environment = ITO_BINARY_DIR "/oracles/diffusers-venv";
  const ChildResult made = run_child({"/bin/bash", scripts + "make_venv.sh", environment});
  const TempFolder scratch;
  const ChildResult trips =
      run_child({made.exit_code == 0 ? environment + "/bin/python" : kPython, scripts + "diffusers_round_trip.py",
                 "--ito", program_path("ito"), "--out", scratch / "trips"});
  std::printf("%s%s", made.err.c_str(), trips.out.c_str());
  ASSERT_TRUE(trips.exit_code == 0 || trips.exit_code == kStoodIn) << "exit code " << trips.exit_code << "\n"
                                                                   << trips.err;
  if (trips.exit_code == 0) return;
  const std::string stood_in =
      "diffusers is missing; the network of unet_reference.py agreed in its place: " + made.err;
  if (oracles_required()) FAIL() << stood_in;
  GTEST_SKIP() << stood_in;
}

}  // namespace
}  // namespace ito
