// SPDX-License-Identifier: Apache-2.0
// The few types that launchers, seams and the engine share. Plain C++: g++ and nvcc see the same text.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/error.h"

namespace ito {

// 16-bit brain float: the upper half of an fp32. One struct in every build; arithmetic is always fp32.
struct bf16 {
  uint16_t bits;
};

// Storage types: activations are F32 or BF16, class numbers and other rows of indices I32. Statistics, masters,
// gradients of parameters and updates are always fp32.
enum class DType : uint8_t { F32, BF16, I32 };

constexpr size_t size_of(DType type) {
  return type == DType::BF16 ? 2 : 4;
}
constexpr const char* name_of(DType type) {
  return type == DType::F32 ? "fp32" : type == DType::BF16 ? "bf16" : "int32";
}

template <class T>
constexpr DType dtype_of = std::is_same_v<T, float>  ? DType::F32
                           : std::is_same_v<T, bf16> ? DType::BF16
                                                     : DType::I32;

// Whether a gradient replaces what is there or is added to it. Always stated, never by convention.
enum class Write : uint8_t { Set, Add };

// A typed device address: what launchers take for activations, so that the type is dispatched once, in the launcher.
struct ConstDataRef {
  const void* data = nullptr;
  DType type = DType::F32;
  ConstDataRef() = default;
  ConstDataRef(const void* p, DType t) : data(p), type(t) {}
  ConstDataRef(const float* p) : data(p), type(DType::F32) {}
  ConstDataRef(const bf16* p) : data(p), type(DType::BF16) {}
  ConstDataRef(const int32_t* p) : data(p), type(DType::I32) {}
  explicit operator bool() const { return data != nullptr; }
  template <class T>
  const T* as() const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, bf16> || std::is_same_v<T, int32_t>);
    ITO_CHECK(!data || type == dtype_of<T>, "a tensor of ", name_of(type), " read as ", name_of(dtype_of<T>));
    return static_cast<const T*>(data);
  }
};

struct DataRef {
  void* data = nullptr;
  DType type = DType::F32;
  DataRef() = default;
  DataRef(void* p, DType t) : data(p), type(t) {}
  DataRef(float* p) : data(p), type(DType::F32) {}
  DataRef(bf16* p) : data(p), type(DType::BF16) {}
  DataRef(int32_t* p) : data(p), type(DType::I32) {}
  operator ConstDataRef() const { return {data, type}; }
  explicit operator bool() const { return data != nullptr; }
  template <class T>
  T* as() const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, bf16> || std::is_same_v<T, int32_t>);
    ITO_CHECK(!data || type == dtype_of<T>, "a tensor of ", name_of(type), " written as ", name_of(dtype_of<T>));
    return static_cast<T*>(data);
  }
};

// Calls f with a value of an activation's type: the one place where a run-time type becomes a template argument.
template <class F>
void by_type(DType type, F&& f) {
  ITO_CHECK(type != DType::I32, "whole numbers where a kernel takes fp32 or bf16");
  if (type == DType::F32)
    f(float{});
  else
    f(bf16{});
}

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  Dim3() = default;
  Dim3(int64_t x_, int64_t y_ = 1, int64_t z_ = 1)
      : x(static_cast<unsigned>(x_)), y(static_cast<unsigned>(y_)), z(static_cast<unsigned>(z_)) {}
};

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Bytes rounded up to where the next tensor of an arena may begin.
constexpr size_t aligned(size_t bytes) {
  return (bytes + 255) / 256 * 256;
}

}  // namespace ito
