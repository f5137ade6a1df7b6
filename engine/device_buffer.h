// SPDX-License-Identifier: Apache-2.0
// Owned device memory, and host memory that the device's copies reach.
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

  // Waits until the values are there, so that other streams may use them. copy_to_device does not wait.
  void upload(Stream& stream, const T* host) {
    copy_to_device(stream, data_, host, bytes());
    stream.synchronize();
  }
  void download(Stream& stream, T* host) const { copy_to_host(stream, host, data_, bytes()); }
  void zero(Stream& stream) { fill_bytes(stream, data_, 0, bytes()); }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

// Memory of host_allocate.
template <class T>
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(size_t count, const char* what)
      : data_(count ? static_cast<T*>(host_allocate(count * sizeof(T), what)) : nullptr), count_(count) {}
  ~HostBuffer() { host_free(data_); }
  HostBuffer(HostBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  T* data() const { return data_; }
  size_t count() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace ito
