// SPDX-License-Identifier: Apache-2.0
// How attention is described to cuDNN. Needs cuDNN, no GPU.
#include "kernels/seams/cuda/attention_choice.h"

#include <gtest/gtest.h>

#include "tests/cases/attention.h"
#include "tests/only/cuda/described_h100.h"

namespace ito::test {
namespace {

using namespace cuda;

TEST(AttentionChoice, TakesBf16HeadsOfMultiplesOfEight) {
  EXPECT_TRUE(library_attention_takes(cases::attention(1, 49, 4, 8), DType::BF16));
  EXPECT_TRUE(library_attention_takes(cases::attention(1, 49, 4, 256), DType::BF16));
  EXPECT_FALSE(library_attention_takes(cases::attention(1, 49, 4, 264), DType::BF16));
  EXPECT_FALSE(library_attention_takes(cases::attention(1, 49, 4, 17), DType::BF16));
  EXPECT_FALSE(library_attention_takes(cases::attention(1, 49, 4, 64), DType::F32));
}

TEST(AttentionChoice, TheLibraryAcceptsTheDescription) {
  const DescribedH100 h100;
  if (!h100) GTEST_SKIP() << cudnn_state().error;
  for (const int n : {1, 64})
    for (const int tokens : {49, 256})
      for (const int head_dim : {8, 64, 256})
        EXPECT_NO_THROW(attention_graph(h100.target, cases::attention(n, tokens, 2, head_dim)));
}

}  // namespace
}  // namespace ito::test
