// SPDX-License-Identifier: Apache-2.0
// A stand-in for the NVIDIA driver's library, as far as the front asks it: FAKE_GPU is the major compute capability of
// its one device; unset, it has none.
#include <cstdlib>

extern "C" {

int cuInit(unsigned) {
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = std::getenv("FAKE_GPU") ? 1 : 0;
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  if (attribute != 75) return 1;  // the major compute capability
  *value = std::atoi(std::getenv("FAKE_GPU"));
  return 0;
}

}  // extern "C"
