// SPDX-License-Identifier: Apache-2.0
// Streams and events have names in a profiler. Read back through NVTX's own way in, a library that it loads; addresses
// are invented, for NVTX looks at none.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "kernels/seams/cuda/stream.h"

namespace ito::test {
namespace {

#ifdef ITO_NVTX_RECORDER
// Before the first name, when NVTX looks.
const int kInjected = setenv("NVTX_INJECTION64_PATH", ITO_NVTX_RECORDER, 1);

TEST(ProfilerNames, OfStreamsAndEvents) {
  ASSERT_EQ(kInjected, 0);
  name_for_profiler(reinterpret_cast<cudaStream_t>(uintptr_t{64}), "training");
  name_for_profiler(reinterpret_cast<cudaEvent_t>(uintptr_t{128}), "batch copied");
  void* library = dlopen(ITO_NVTX_RECORDER, RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto text = reinterpret_cast<const char* (*)()>(dlsym(library, "recorded_ranges"));
  EXPECT_STREQ(text(), "stream training\nevent batch copied\n");
}
#else
TEST(ProfilerNames, OfStreamsAndEvents) {
  GTEST_SKIP() << "built without NVTX: no nvtx3/nvToolsExt.h was found";
}
#endif

}  // namespace
}  // namespace ito::test
