// SPDX-License-Identifier: Apache-2.0
// For tests that hold kernels of their own: one stream for all, so that arrays and launches are in one order, and
// arrays in device memory.
#pragma once
#include <vector>

#include "kernels/seams/device.h"

namespace ito::test {

inline Stream& test_stream() {
  static Stream stream;
  return stream;
}

template <class T>
class TestArray {
 public:
  explicit TestArray(const std::vector<T>& host)
      : count_(host.size()), data_(static_cast<T*>(device_allocate(count_ * sizeof(T), "a test's array"))) {
    copy_to_device(test_stream(), data_, host.data(), count_ * sizeof(T));
  }
  explicit TestArray(size_t count, T value = T{}) : TestArray(std::vector<T>(count, value)) {}
  ~TestArray() { device_free(data_); }
  TestArray(const TestArray&) = delete;
  TestArray& operator=(const TestArray&) = delete;
  T* get() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> out(count_);
    copy_to_host(test_stream(), out.data(), data_, count_ * sizeof(T));
    return out;
  }

 private:
  size_t count_;
  T* data_;
};

}  // namespace ito::test
