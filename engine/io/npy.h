// SPDX-License-Identifier: Apache-2.0
// The .npy format: "\x93NUMPY", a version of two bytes, the length of a header (u16 little-endian in version 1, u32 in
// 2 and 3), the header, which is a Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, then
// the numbers in C order.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"

namespace ito {

struct NpyHeader {
  TensorType type = TensorType::F32;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;  // its own, up to the first number
  uint64_t element_count() const;
  uint64_t data_bytes() const { return element_count() * size_of(type); }
};

// Bytes from a file's start that say how long its header is.
inline constexpr size_t kNpyStart = 12;
// The length of the whole header, from kNpyStart bytes at least (or all there are). `where` begins every error.
uint64_t npy_header_bytes(std::span<const uint8_t> start, const std::string& where);

// The header, of all its bytes. UserError in one line for what is damaged or not read: big-endian numbers, complex
// ones, records, objects (which are pickles and can run code), matrices in Fortran's order.
NpyHeader parse_npy_header(std::span<const uint8_t> bytes, const std::string& where);

// Version 1, as NumPy writes it: what follows begins at a multiple of 64.
std::string npy_header(TensorType type, const std::vector<int64_t>& shape);

}  // namespace ito
