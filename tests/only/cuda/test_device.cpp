// SPDX-License-Identifier: Apache-2.0
// What a user is told who has no GPU, or another than this program was built for, and of calls that fail.
#include <gtest/gtest.h>

#include "kernels/seams/cuda/stream.h"

namespace ito {
namespace {

DeviceFacts h100() {
  DeviceFacts facts;
  facts.runtime = 13000;
  facts.driver = 13010;
  facts.count = 1;
  facts.name = "NVIDIA H100";
  facts.major = 9;
  return facts;
}

template <class F>
std::string text_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Device, EachReasonHasItsLine) {
  EXPECT_EQ(why_unusable(h100()), "");
  DeviceFacts facts = h100();
  facts.driver = 0;
  facts.status = cudaErrorInsufficientDriver;
  EXPECT_EQ(why_unusable(facts), "no NVIDIA driver is installed; install one for CUDA 13.0, or run on the CPU");
  facts = h100();
  facts.driver = 12020;
  facts.status = cudaErrorInsufficientDriver;
  EXPECT_EQ(
      why_unusable(facts),
      "the NVIDIA driver serves CUDA up to 12.2, this program needs 13.0; install a newer driver, or run on the CPU");
  facts = h100();
  facts.count = 0;
  facts.status = cudaErrorNoDevice;
  EXPECT_EQ(why_unusable(facts),
            "no device: the driver sees no NVIDIA GPU (is CUDA_VISIBLE_DEVICES set?); run on the CPU");
  facts.status = cudaErrorDevicesUnavailable;
  EXPECT_TRUE(why_unusable(facts).starts_with("no device: cudaErrorDevicesUnavailable: ")) << why_unusable(facts);
  facts = h100();
  facts.major = 7;
  facts.minor = 5;
  EXPECT_EQ(why_unusable(facts), "NVIDIA H100 (sm_75) is too old: ito needs sm_80 or newer; run on the CPU");
  facts = h100();
  facts.code = cudaErrorNoKernelImageForDevice;
  EXPECT_EQ(why_unusable(facts),
            "this program has no code for NVIDIA H100 (sm_90) (cudaErrorNoKernelImageForDevice); build it with "
            "-DCMAKE_CUDA_ARCHITECTURES=90, or run on the CPU");
}

TEST(Device, AFailedCallNamesStepLayerAndLaunch) {
  const Range step("step 12");
  const Range layer("down_blocks.0.resnets.0.conv1");
  const Range launch("conv_forward");
  const std::string text = text_of([] { check_cuda(cudaErrorIllegalAddress, "conv_forward"); });
  EXPECT_TRUE(
      text.starts_with("conv_forward (step 12 > down_blocks.0.resnets.0.conv1 > conv_forward): "
                       "cudaErrorIllegalAddress: "))
      << text;
  EXPECT_NE(text.find("ITO_BLOCKING_LAUNCHES=1"), std::string::npos) << text;
  EXPECT_EQ(text_of([] { check_cuda(cudaSuccess, "nothing"); }), "");
}

TEST(Device, ErrorsOfTheCardCarryAdvice) {
  EXPECT_NE(text_of([] { check_cuda(cudaErrorECCUncorrectable, "wait"); }).find("go on from the last checkpoint"),
            std::string::npos);
  EXPECT_NE(text_of([] { check_cuda(cudaErrorMemoryAllocation, "graph"); }).find("smaller batch"), std::string::npos);
  EXPECT_EQ(text_of([] { check_cuda(cudaErrorInvalidValue, "copy"); }).find("copy: cudaErrorInvalidValue: "), 0u);
}

}  // namespace
}  // namespace ito
