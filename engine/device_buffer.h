// SPDX-License-Identifier: Apache-2.0
// Owned device memory.
#pragma once
#include <cstddef>
#include <utility>

#include "kernels/seams/device.h"

namespace ito {

template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // what: for the message when there is not enough memory.
  DeviceBuffer(size_t count, const char* what)
      : data_(count ? static_cast<T*>(device_allocate(count * sizeof(T), what)) : nullptr), count_(count) {}
  ~DeviceBuffer() {
    if (data_) device_free(data_);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  T* data() const { return data_; }
  size_t count() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

  void upload(Stream& stream, const T* host) { copy_to_device(stream, data_, host, bytes()); }
  void download(Stream& stream, T* host) const { copy_to_host(stream, host, data_, bytes()); }
  void zero(Stream& stream) { fill_bytes(stream, data_, 0, bytes()); }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace ito
