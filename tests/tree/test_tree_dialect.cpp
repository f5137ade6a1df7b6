// SPDX-License-Identifier: Apache-2.0
// The kernel dialect's rules: forbidden words, no return before a barrier, a row in kernels/README.md for each kernel;
// on planted violations, on clean counterparts and on the tree.
#include <filesystem>

#include "tests/tree/dialect_rules.h"
#include "tests/tree/expect_rule.h"

namespace ito {
namespace {

Violations return_rule(const SourceFile& file) {
  return check_return_before_barrier({file});
}

TEST(ForbiddenWords, EachIsRefused) {
  for (const char* text : {"k<<<1, 2>>>(x);\n",
                           "__shared__ float s[4];\n",
                           "void f() { __syncthreads(); }\n",
                           "x = __syncthreads_or(p);\n",
                           "__syncwarp();\n",
                           "__global__ void k();\n",
                           "__device__ int f();\n",
                           "__host__ int f();\n",
                           "v = __shfl_xor_sync(0xFF, v, 1);\n",
                           "m = __ballot_sync(~0u, p);\n",
                           "m = __activemask();\n",
                           "#ifdef __CUDACC__\n",
                           "#if __CUDA_ARCH__ >= 800\n",
                           "volatile int* flag;\n",
                           "while (atomic_load(p)) {}\n",
                           "asm(\"mov\");\n",
                           "asm volatile_free;\n",
                           "atomicAdd(p, v);\n",
                           "atomic_add<float>(p, v);\n",
                           "v = tex2D<float>(t, x, y);\n",
                           "cudaTextureObject_t t;\n",
                           "cudaMalloc(&p, 4);\n",
                           "namespace cg = cooperative_groups;\n",
                           "int i = threadIdx.y;\n",
                           "int i = blockDim . z;\n"}) {
    expect_refused(check_forbidden_words, "kernels/nn/planted.cu", text);
    expect_refused(check_forbidden_words, "kernels/diffusion/planted.cuh", text);
    expect_refused(check_forbidden_words, "kernels/optim/planted.h", text);
  }
}

TEST(ForbiddenWords, TheDialectsWordsAreAccepted) {
  expect_accepted(check_forbidden_words, "kernels/nn/planted.cu",
                  "// no __syncthreads, no <<<, no asm, no atomicAdd\n/* __shared__ */\n"
                  "KERNEL void k(float* __restrict__ y) {\n  SHARED(float, s, 4);\n  block_sync();\n"
                  "  atomic_add(count, 1u);\n  y[threadIdx.x + blockIdx.y] = shfl_xor(s[0], 1) * (1 << 2);\n}\n"
                  "void f() { launch<k>(\"asm __global__ <<<\", Dim3(1), 32, 0, stream, y); }\n");
  expect_accepted(check_forbidden_words, "kernels/dialect/cuda/dialect.h", "#define KERNEL static __global__\n");
  expect_accepted(check_forbidden_words, "kernels/seams/cuda/device.cpp", "cudaMalloc(&p, 4);\n");
}

TEST(ForbiddenWords, HoldsInTheTree) {
  expect_tree_accepted(check_forbidden_words);
}

TEST(ReturnBeforeBarrier, IsRefused) {
  expect_refused(return_rule, "kernels/nn/planted.cu",
                 "KERNEL void k(int n) {\n  if (threadIdx.x >= n) return;\n  block_sync();\n}\n");
  expect_refused(
      return_rule, "kernels/nn/planted.cu",
      "template <class T>\nKERNEL void k(T* y, int n) {\n  BLOCK_LOOP(i, n) {\n    if (y[i] < 0) return;\n  }\n"
      "  y[0] = block_sum(y[0]);\n}\n");
  expect_refused(return_rule, "kernels/nn/planted.cu",
                 "DEVICE float total(float v) { return block_sum(v); }\n"
                 "KERNEL void k(float* y, int n) {\n  if (!n) return;\n  y[0] = total(1.0f);\n}\n");
  expect_refused(return_rule, "kernels/optim/planted.cu",
                 "KERNEL void k(unsigned* t) {\n  if (*t) { return; }\n  if (last_block(t, gridDim.x)) *t = 1;\n}\n");
}

TEST(ReturnBeforeBarrier, HoppersWordsAndBoundsCount) {
  expect_refused(return_rule, "kernels/nn/planted_sm90.cu",
                 "KERNEL LAUNCH_THREADS(256) void k(TMA_PARAMETER map, int n) {\n  if (!n) return;\n"
                 "  named_sync(1, 128);\n}\n");
  const SourceFile kernel{"kernels/nn/planted_sm90.cu",
                          "KERNEL LAUNCH_THREADS(256) void k(int n) {\n  bar_wait(full, 0);\n}\n"
                          "DEVICE void f(int n) {\n  if (n) return;\n  k(n);\n}\n"};
  EXPECT_EQ(check_return_before_barrier({kernel}).size(), 1u);  // by the kernel's own name
}

TEST(ReturnBeforeBarrier, HelpersOfOtherFilesCount) {
  const SourceFile helper{"kernels/nn/planted.cuh", "DEVICE void gather(float* s) { s[0] = 1; block_sync(); }\n"};
  const SourceFile kernel{"kernels/nn/planted.cu", "KERNEL void k(float* s) { if (!s) return; gather(s); }\n"};
  EXPECT_EQ(check_return_before_barrier({helper, kernel}).size(), 1u);
  EXPECT_EQ(check_return_before_barrier({kernel}).size(), 0u);
}

TEST(ReturnBeforeBarrier, OtherReturnsAreAccepted) {
  expect_accepted(return_rule, "kernels/nn/planted.cu",
                  "KERNEL void k(int n) {\n  // return early: no, block_sync() follows\n  block_sync();\n"
                  "  if (threadIdx.x >= n) return;\n  work();\n}\n");
  expect_accepted(
      return_rule, "kernels/nn/planted.cu",
      "KERNEL void k(float* y) {\n  const auto f = [&](float v) -> float { if (v < 0) return 0; return v; };\n"
      "  const auto g = [y] { return y[0]; };\n  y[0] = block_sum(f(g()));\n}\n");
  expect_accepted(return_rule, "kernels/nn/planted.cu",
                  "DEVICE float total(float v) {\n  v = block_sum(v);\n  return v;\n}\n"
                  "DEVICE float twice(float v) { return block_sum(block_sum(v)); }\n"
                  "DEVICE int none(int n) { if (n) return 1; return 2; }\n"
                  "void host(int n) { if (!n) return; launch<k>(\"block_sync\"); }\n");
}

TEST(ReturnBeforeBarrier, HoldsInTheTree) {
  EXPECT_EQ(lines_of(check_return_before_barrier(tree())), "");
}

TEST(KernelTable, AKernelWithoutARowIsRefused) {
  const SourceFile file{
      "kernels/nn/planted.cu",
      "// launch<k>(\"in_a_comment\")\nvoid f(const char* name) {\n"
      "  launch<one_kernel<T, true>>(\n      \"one\", 1);\n  for_each< two_body >(\"two_forward\", 2);\n"
      "  launch<k>(name);\n}\n"};
  EXPECT_EQ(check_kernel_table({file}, "").size(), 2u);
  EXPECT_EQ(check_kernel_table({file}, "| `one` | x |\nand two_forward, `two_forward`.\n").size(), 1u);
  EXPECT_EQ(check_kernel_table({file}, "| `one_more` | `one` |\n| `two_forward` |\n").size(), 1u);
  EXPECT_EQ(check_kernel_table({file}, "| `one` |\n| `three_*` |\n| `two_backward`, `_sideward` |\n").size(), 1u);
}

TEST(KernelTable, KernelsWithRowsAreAccepted) {
  const SourceFile file{"kernels/nn/planted.cu",
                        "void f() { launch<k>(\"one\"); for_each<b<T>>(\"one_back\"); launch<k>(\"two_back\"); }\n"};
  for (const char* readme : {"| `one` | a |\n| `one_back`, `two_back` | b |\n",
                             "| `one`, `_back` |\n| `two_fore`, `_back` |\n", "| `one` |\n| `one_*` |\n| `two_*` |\n"})
    EXPECT_EQ(lines_of(check_kernel_table({file}, readme)), "") << readme;
  EXPECT_EQ(lines_of(check_kernel_table({{"engine/x.cpp", "launch<k>(\"k\");"}}, "")), "");
}

TEST(KernelTable, HoldsInTheTree) {
  const std::filesystem::path readme = std::filesystem::path(ITO_SOURCE_DIR) / "kernels" / "README.md";
  ASSERT_TRUE(std::filesystem::exists(readme)) << "kernels/README.md is missing: it lists every kernel in a table";
  EXPECT_EQ(lines_of(check_kernel_table(tree(), text_of(readme))), "");
}

TEST(OwnNames, AKernelOutsideOfTheAnonymousNamespaceIsRefused) {
  expect_refused(check_own_names, "kernels/nn/planted.cu",
                 "namespace ito {\nDEVICE int f();\nnamespace {\n}\nKERNEL void k() {}\n}\n");
  expect_refused(check_own_names, "kernels/nn/planted.cu", "namespace ito {\nKERNEL void k() {}\n}\n");
  expect_accepted(check_own_names, "kernels/nn/planted.cu",
                  "namespace ito {\nnamespace {\nDEVICE int f();\nKERNEL void k() {}\n}\nvoid l();\n}\n");
  expect_accepted(check_own_names, "kernels/nn/planted.cuh", "DEVICE int f();\n");
}

TEST(OwnNames, HoldsInTheTree) {
  expect_tree_accepted(check_own_names);
}

}  // namespace
}  // namespace ito
