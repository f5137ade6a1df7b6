// SPDX-License-Identifier: Apache-2.0
// Owned device memory, and host memory that the device's copies reach.
#pragma once
#include <cstddef>
#include <utility>

#include "kernels/seams/device.h"

namespace ito {

// `count` values of T from Allocate, given back to Free; what: for the message when there is not enough memory.
template <class T, void* (*Allocate)(size_t, const char*), void (*Free)(void*) noexcept>
class Buffer {
 public:
  Buffer() = default;
  Buffer(size_t count, const char* what)
      : data_(count ? static_cast<T*>(Allocate(count * sizeof(T), what)) : nullptr), count_(count) {}
  ~Buffer() { Free(data_); }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
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

template <class T>
using HostBuffer = Buffer<T, host_allocate, host_free>;

template <class T>
class DeviceBuffer : public Buffer<T, device_allocate, device_free> {
 public:
  using Buffer<T, device_allocate, device_free>::Buffer;

  // Waits until the values are there, so that other streams may use them. copy_to_device does not wait.
  void upload(Stream& stream, const T* host) {
    copy_to_device(stream, this->data(), host, this->bytes());
    stream.synchronize();
  }
  void download(Stream& stream, T* host) const { copy_to_host(stream, host, this->data(), this->bytes()); }
  void zero(Stream& stream) { fill_bytes(stream, this->data(), 0, this->bytes()); }
};

}  // namespace ito
