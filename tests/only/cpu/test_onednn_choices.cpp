// SPDX-License-Identifier: Apache-2.0
// oneDNN falls back to reference loops, a thousand times slower, without a word. No layer shape we may meet does, with
// the processor's own instructions and with AVX2 alone (fp32; the library has no bf16 there).
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "kernels/seams/conv.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

// {h, w, c, k, r, s, stride, pad top, left, bottom, right}
const ConvShape kShapes[] = {
    {28, 28, 1, 32, 3, 3, 1, 1, 1, 1, 1},   {28, 28, 32, 1, 3, 3, 1, 1, 1, 1, 1},
    {28, 28, 96, 32, 3, 3, 1, 1, 1, 1, 1},  {14, 14, 32, 64, 3, 3, 1, 1, 1, 1, 1},
    {14, 14, 128, 64, 3, 3, 1, 1, 1, 1, 1}, {7, 7, 128, 64, 3, 3, 1, 1, 1, 1, 1},
    {32, 32, 3, 128, 3, 3, 1, 1, 1, 1, 1},  {32, 32, 128, 3, 3, 3, 1, 1, 1, 1, 1},
    {28, 28, 64, 64, 3, 3, 2, 1, 1, 1, 1},  {28, 28, 64, 64, 3, 3, 2, 0, 0, 1, 1},
    {14, 14, 64, 64, 1, 1, 1, 0, 0, 0, 0},  {14, 14, 128, 64, 1, 1, 1, 0, 0, 0, 0},
    {4, 4, 512, 256, 3, 3, 1, 1, 1, 1, 1},  {9, 9, 5, 7, 3, 3, 1, 1, 1, 1, 1},
    {9, 9, 40, 24, 3, 3, 1, 1, 1, 1, 1},    {64, 64, 128, 128, 3, 3, 1, 1, 1, 1, 1},
};

void expect_no_reference(DType type) {
  for (const ConvShape& s : kShapes) {
    const std::string all = ConvLayer("choice", s, type, ConvGradients{true, true}).implementations();
    for (const char* reference : {"=ref", ":ref"})
      EXPECT_EQ(all.find(reference), std::string::npos)
          << s.h << "x" << s.w << ", " << s.c << " to " << s.k << ", " << s.r << "x" << s.s << " stride " << s.stride
          << ", " << name_of(type) << ": " << all;
    for (const char* direction : {"forward=", "data=", "weight="})
      EXPECT_NE(all.find(direction), std::string::npos) << all;
  }
}

TEST(OnednnChoices, Fp32IsNeverReference) {
  expect_no_reference(DType::F32);
}

TEST(OnednnChoices, Bf16IsNeverReference) {
  if (!device_has_bf16()) GTEST_SKIP() << "this processor has no bf16 products";
  expect_no_reference(DType::BF16);
}

// Batch 1 uses every core because a large layer is cut into row bands: top, middle and bottom are calls of their own.
// Where the library refuses a band the layer would silently stay whole.
TEST(OnednnChoices, LargeLayersAreCutIntoBands) {
  const ConvShape shapes[] = {{28, 28, 96, 32, 3, 3, 1, 1, 1, 1, 1},
                              {16, 16, 64, 64, 3, 3, 1, 1, 1, 1, 1},
                              {28, 27, 64, 64, 3, 3, 2, 0, 0, 1, 1},
                              {29, 28, 64, 64, 3, 3, 2, 1, 1, 1, 1}};
  for (const ConvShape& s : shapes) {
    const std::string all = ConvLayer("bands", s, DType::F32, ConvGradients{true, true}).implementations();
    for (const char* direction : {"forward=", "data="}) {
      const size_t first = all.find(direction);
      EXPECT_NE(all.find(direction, first + 1), std::string::npos)
          << direction << " of " << s.h << "x" << s.w << ", stride " << s.stride << " is whole: " << all;
    }
  }
}

// The library reads the limit when it is loaded, so another process has to look.
TEST(OnednnChoices, Fp32IsNeverReferenceWithAvx2Alone) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    setenv("DNNL_MAX_CPU_ISA", "AVX2", 1);
    execl("/proc/self/exe", "test_onednn_choices", "--gtest_filter=OnednnChoices.Fp32IsNeverReference", nullptr);
    _exit(127);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

}  // namespace
}  // namespace ito::test
