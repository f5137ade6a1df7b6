// SPDX-License-Identifier: Apache-2.0
// What a profiler sees: the pass a range, every layer a range in it, every launch one in its layer's, in the domain
// "ito". Read back through NVTX's own way in, a library that it loads.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <vector>

#include "engine/program/denoiser.h"
#include "kernels/seams/ranges.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

#ifdef ITO_NVTX_RECORDER
// Before the first range, when NVTX looks.
const int kInjected = setenv("NVTX_INJECTION64_PATH", ITO_NVTX_RECORDER, 1);

std::string recorded() {
  void* library = dlopen(ITO_NVTX_RECORDER, RTLD_NOW);
  const auto text = reinterpret_cast<const char* (*)()>(dlsym(library, "recorded_ranges"));
  return text();
}

TEST(Ranges, NvtxNamesLayersAndLaunches) {
  if (!std::filesystem::exists(ITO_NVTX_RECORDER)) GTEST_SKIP() << "the recorder is not beside the test";
  ASSERT_EQ(kInjected, 0);
  const Network network = tiny_network();
  Denoiser denoiser(network, 1, DType::F32);
  const std::vector<float> host = busy_weights(parameters_of(network), 3);
  Stream stream;
  DeviceBuffer<float> weights(host.size(), "weights");
  weights.upload(stream, host.data());
  denoiser.bind(weights.data());
  denoiser.pack(stream);
  fill_bytes(stream, denoiser.sample().data, 0, sizeof(float) * network.image.size());
  fill_bytes(stream, denoiser.timestep(), 0, sizeof(float));
  const size_t before = recorded().size();
  denoiser.evaluate(stream);
  stream.synchronize();

  std::map<std::string, int> passes, layers, launches;  // names at depth 0, at depth 1 and below
  int depth = 0;
  std::istringstream lines(recorded().substr(before));
  for (std::string line; std::getline(lines, line);) {
    if (line == "pop") {
      ASSERT_GT(depth, 0);
      --depth;
    } else {
      ASSERT_TRUE(line.starts_with("push ")) << line;
      ++(depth == 0 ? passes : depth == 1 ? layers : launches)[line.substr(5)];
      ++depth;
    }
  }
  EXPECT_EQ(depth, 0);
  EXPECT_EQ(passes["forward"], 1);
  for (const char* name : {"conv_in", "down_blocks.0.resnets.0.conv1", "mid_block.attentions.0.group_norm", "conv_out"})
    EXPECT_EQ(layers[name], 1) << name;
  EXPECT_GT(launches["group_norm_forward"], 5);
  EXPECT_TRUE(recorded().starts_with("domain ito\n")) << recorded().substr(0, 80);
}
#else
TEST(Ranges, NvtxNamesLayersAndLaunches) {
  GTEST_SKIP() << "built without NVTX: no nvtx3/nvToolsExt.h was found";
}
#endif

TEST(Ranges, OpenOnesAreNamedFromTheOutermost) {
  EXPECT_EQ(open_range_names(), "");
  const Range step("step 3");
  {
    const Range layer("conv_in");
    const Range launch("conv_forward");
    EXPECT_EQ(open_range_names(), "step 3 > conv_in > conv_forward");
  }
  EXPECT_EQ(open_range_names(), "step 3");
}

}  // namespace
}  // namespace ito::test
