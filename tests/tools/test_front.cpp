// SPDX-License-Identifier: Apache-2.0
// Which worker the front becomes: a folder with the front and scripts in place of the workers, and a library in place
// of the NVIDIA driver's.
#include <filesystem>

#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

struct FrontFolder {
  FrontFolder() {
    std::filesystem::copy_file(std::filesystem::path(ITO_PROGRAM_FOLDER) / "ito", folder / "ito");
    worker("ito-cpu");
  }
  void worker(const std::string& name) {
    folder.write(name, "#!/bin/sh\necho " + name + " \"$@\"\nexit 7\n");
    std::filesystem::permissions(folder / name, std::filesystem::perms::owner_all);
  }
  // major: of the fake driver's device; empty: no device; no_driver: not even the library.
  ChildResult run(const std::string& major, const std::vector<std::string>& words, bool no_driver = false) const {
    std::vector<std::string> command{"/usr/bin/env"};
    command.push_back(std::string("LD_LIBRARY_PATH=") + (no_driver ? "" : ITO_FAKE_DRIVER_FOLDER));
    if (!major.empty()) command.push_back("FAKE_GPU=" + major);
    command.push_back(folder / "ito");
    command.insert(command.end(), words.begin(), words.end());
    return run_child(command);
  }
  TempFolder folder;
};

TEST(Front, BecomesTheWorkerForTheMachine) {
  FrontFolder front;
  // Exit code and arguments are the worker's.
  const ChildResult alone = front.run("9", {"sample", "--seed", "3"});
  EXPECT_EQ(alone.out, "ito-cpu sample --seed 3\n") << "without ito-cuda beside it";
  EXPECT_EQ(alone.exit_code, 7);
  front.worker("ito-cuda");
  EXPECT_EQ(front.run("9", {"train"}).out, "ito-cuda train\n");
  EXPECT_EQ(front.run("12", {"--device=auto", "train"}).out, "ito-cuda --device=auto train\n");
  EXPECT_EQ(front.run("9", {"train", "--device", "cpu"}).out, "ito-cpu train --device cpu\n");
  EXPECT_EQ(front.run("", {"train"}).out, "ito-cpu train\n") << "a driver without a device";
  EXPECT_EQ(front.run("", {"train"}, true).out, "ito-cpu train\n") << "no driver";
  // Asked for by name, ito-cuda says itself what is missing.
  EXPECT_EQ(front.run("", {"--device", "cuda", "train"}, true).out, "ito-cuda --device cuda train\n");
}

TEST(Front, TellsOfAGpuThatIsTooOld) {
  FrontFolder front;
  front.worker("ito-cuda");
  const ChildResult result = front.run("7", {"train"});
  EXPECT_EQ(result.out, "ito-cpu train\n");
  EXPECT_EQ(result.err, "ito: the GPU has compute capability 7, and 8 or more is needed; using the CPU\n");
}

TEST(Front, RefusesWhatIsNotThere) {
  FrontFolder front;
  const ChildResult no_worker = front.run("9", {"--device", "cuda", "train"});
  EXPECT_EQ(no_worker.exit_code, 2);
  EXPECT_EQ(no_worker.err,
            "ito: --device cuda: this build has no CUDA worker; build one with cmake --preset cuda, or use --device "
            "cpu\n");
  std::filesystem::remove(front.folder / "ito-cpu");
  const ChildResult nothing = front.run("", {"train"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_EQ(nothing.err, "ito: " + front.folder / "ito-cpu" + " is not there; build it with tools/test.sh\n");
}

}  // namespace
}  // namespace ito
