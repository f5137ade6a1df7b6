// SPDX-License-Identifier: Apache-2.0
// The start of tests.cuda: without a GPU that can be used it says why and is skipped, as a whole and in plain sight.
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/seams/device.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!testing::GTEST_FLAG(list_tests)) {
    try {
      ito::Stream stream;
      std::printf("device: %s\n", ito::device_name());
    } catch (const ito::Error& e) {
      std::printf("SKIPPED: %s\n", e.what());
      return 77;
    }
  }
  return RUN_ALL_TESTS();
}
