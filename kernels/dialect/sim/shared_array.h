// SPDX-License-Identifier: Apache-2.0
// SHARED arrays in sim: an index is checked against the bounds, a read against what was written, and both against
// the other threads since the last barrier. A plain pointer taken from the array is checked by redzones and NaN only.
#pragma once
#include <concepts>
#include <type_traits>

#include "kernels/dialect/sim/executor.h"

namespace ito::dialect {

// An index that knows the line it was written on.
struct SharedIndex {
  int64_t value;
  Where where;
  template <std::integral I>
  SharedIndex(I i, Where w = Where::current()) : value(static_cast<int64_t>(i)), where(w) {}
};

template <class T>
class SharedRef {
 public:
  SharedRef(T* p, SharedState* state, int64_t index, Where where)
      : p_(p), state_(state), index_(index), where_(where) {}
  SharedRef(const SharedRef&) = default;

  operator T() const {
    shared_read(state_, index_, where_);
    return *p_;
  }
  const SharedRef& operator=(T v) const {
    shared_write(state_, index_, where_);
    *p_ = v;
    return *this;
  }
  const SharedRef& operator=(const SharedRef& other) const { return *this = static_cast<T>(other); }
  T* operator&() const {
    shared_escaped(state_);
    return p_;
  }

  const SharedRef& operator+=(T v) const { return *this = static_cast<T>(T(*this) + v); }
  const SharedRef& operator-=(T v) const { return *this = static_cast<T>(T(*this) - v); }
  const SharedRef& operator*=(T v) const { return *this = static_cast<T>(T(*this) * v); }
  const SharedRef& operator/=(T v) const { return *this = static_cast<T>(T(*this) / v); }
  const SharedRef& operator|=(T v) const { return *this = static_cast<T>(T(*this) | v); }
  const SharedRef& operator&=(T v) const { return *this = static_cast<T>(T(*this) & v); }
  const SharedRef& operator^=(T v) const { return *this = static_cast<T>(T(*this) ^ v); }
  const SharedRef& operator++() const { return *this += T(1); }
  const SharedRef& operator--() const { return *this -= T(1); }

 private:
  T* p_;
  SharedState* state_;
  int64_t index_;
  Where where_;
};

// Words that are one number; other element types are handed out as plain references.
template <class T>
constexpr bool kCheckedElement = std::is_arithmetic_v<T> || std::is_same_v<T, bf16>;

template <class T>
class SharedArray {
 public:
  explicit SharedArray(const SharedSite& site) : count_(site.count) {
    const SharedHandle handle = shared_array(site);
    state_ = handle.state;
    data_ = static_cast<T*>(handle.data);
  }
  SharedArray(const SharedArray&) = delete;

  decltype(auto) operator[](SharedIndex i) const {
    if (static_cast<uint64_t>(i.value) >= count_) shared_out_of_range(state_, i.value, i.where);
    if constexpr (kCheckedElement<T>) {
      return SharedRef<T>(data_ + i.value, state_, i.value, i.where);
    } else {
      shared_escaped(state_);
      return (data_[i.value]);
    }
  }

  // To T*, const T* or void*: a template, so that name[i] never goes through the pointer.
  template <class U>
  requires std::same_as<U, T> || std::same_as<U, const T> || std::is_void_v<U>
  operator U*() const {
    shared_escaped(state_);
    return data_;
  }
  template <std::integral I>
  T* operator+(I i) const {
    shared_escaped(state_);
    return data_ + i;
  }
  decltype(auto) operator*() const { return (*this)[0]; }

 private:
  T* data_;
  uint64_t count_;
  SharedState* state_;
};

}  // namespace ito::dialect
