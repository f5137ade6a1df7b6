// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry. CMake compiles this once for each target, with ITO_FUZZ_PARSER naming its function.
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string reason;
  if (ito::run_target(ito::ITO_FUZZ_PARSER, {data, size}, reason) == ito::Outcome::Fault) {
    std::fprintf(stderr, "fault: %s\n", reason.c_str());
    std::abort();
  }
  return 0;
}
