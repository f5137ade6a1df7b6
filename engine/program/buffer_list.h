// SPDX-License-Identifier: Apache-2.0
// What an object keeps in memory for as long as it lives, declared once: the sum that is held against the limit and the
// allocations come from the same list, so that neither can forget a buffer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/program/device_buffer.h"
#include "engine/program/memory_check.h"

namespace ito {

class BufferList {
 public:
  // `buffer` gets `count` values in allocate(), and must live until then. what: for the message when there is not
  // enough memory.
  template <class T, void* (*Allocate)(size_t, const char*), void (*Free)(void*) noexcept>
  void add(Buffer<T, Allocate, Free>& buffer, size_t count, const char* what) {
    const size_t bytes = saturated_product({count, sizeof(T)});
    bytes_ = bytes_ > SIZE_MAX - bytes ? SIZE_MAX : bytes_ + bytes;
    makers_.push_back([&buffer, count, what] { buffer = Buffer<T, Allocate, Free>(count, what); });
  }

  size_t bytes() const { return bytes_; }  // of all that was added; SIZE_MAX where the sum does not fit

  void allocate() {
    for (const std::function<void()>& make : makers_) make();
    makers_.clear();
  }

 private:
  std::vector<std::function<void()>> makers_;
  size_t bytes_ = 0;
};

}  // namespace ito
