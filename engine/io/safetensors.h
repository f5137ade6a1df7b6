// SPDX-License-Identifier: Apache-2.0
// The safetensors container: u64 little-endian N, N bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}},
// then raw little-endian C-order bytes, offsets counted from the end of the header. A file is untrusted input: every
// claim in the header is checked against the file when it is opened. Errors name the file and the tensor.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/input_file.h"

namespace ito {

// The element types of the format; those without a conversion can still be read raw.
enum class TensorType : uint8_t { F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL, U64, U32, U16, F8_E5M2, F8_E4M3 };

bool is_float(TensorType type);  // F64, F32, F16 or BF16
const char* name_of(TensorType type);
size_t size_of(TensorType type);
std::string shape_text(const std::vector<int64_t>& shape);  // [4, 3, 3, 3]

float float_from_f16(uint16_t bits);
float float_from_bf16(uint16_t bits);

class SafetensorsFile {
 public:
  struct Entry {
    TensorType type = TensorType::F32;
    std::vector<int64_t> shape;
    uint64_t begin = 0, end = 0;  // bytes, from the end of the header
    int64_t element_count() const;
  };

  // Opens and validates; UserError if anything in the header is not as the format says.
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  std::vector<std::string> names() const;  // sorted by bytes
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  const Entry& entry(const std::string& name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Throws unless the tensor has exactly this shape.
  void check_shape(const std::string& name, const std::vector<int64_t>& expected) const;

  // Converted to fp32 (round to nearest) from F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL.
  std::vector<float> read_f32(const std::string& name) const;
  // The same of F64 F32 F16 BF16 alone: whole numbers in the place of weights or samples mean something else, codes of
  // a quantised model, say, or pixels of 0 to 255.
  std::vector<float> read_floats(const std::string& name) const;
  void read_f32_into(const std::string& name, std::span<float> out) const;
  // From I64 I32 I16 I8 U8 BOOL; from F32 only when accept_f32, and then every value must be an integer.
  std::vector<int64_t> read_i64(const std::string& name, bool accept_f32 = false) const;
  std::vector<uint8_t> read_raw(const std::string& name) const;
  uint64_t place_of(const std::string& name) const { return data_start_ + entry(name).begin; }  // byte of the file

 private:
  explicit SafetensorsFile(InputFile file) : file_(std::move(file)) {}
  std::string place(const std::string& name) const;  // "FILE: tensor 'NAME'"
  template <class Visit>
  void for_each_chunk(const Entry& entry, const Visit& visit) const;

  InputFile file_;
  uint64_t data_start_ = 0;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

// Collects tensors and writes them at once. The same tensors give the same bytes, in whatever order they were added.
// add(name, shape, span) refers to the caller's memory, which must live until write(); the && forms keep the data.
class SafetensorsWriter {
 public:
  void add(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> data);
  void add(const std::string& name, const std::vector<int64_t>& shape, std::vector<float>&& data);
  void add_i64(const std::string& name, const std::vector<int64_t>& shape, std::vector<int64_t> data);
  void add_u8(const std::string& name, const std::vector<int64_t>& shape, std::span<const uint8_t> data);
  void add_u8(const std::string& name, const std::vector<int64_t>& shape, std::vector<uint8_t>&& data);
  // Bytes in the file's own layout (little-endian, C order).
  void add_raw(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
               std::span<const uint8_t> bytes);
  // A tensor of the file that is written by others, who have its data.
  void add_elsewhere(const std::string& name, TensorType type, const std::vector<int64_t>& shape);
  // Added to "format": "pt", which is what foreign loaders expect.
  void set_metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }

  // Whole or not at all (see atomic_file.h).
  void write(const std::string& path) const;
  // The file's parts that are here, from its beginning on: the header first, then tensors by name. path: for messages.
  using Visit = std::function<void(uint64_t place, const void* data, size_t bytes)>;
  void for_each_part(const std::string& path, const Visit& visit) const;
  // Where a tensor's data is, and where the file ends, in bytes from its beginning.
  struct Places {
    std::map<std::string, uint64_t> of;
    uint64_t end = 0;
  };
  Places places(const std::string& path) const;

 private:
  struct Tensor {
    TensorType type = TensorType::F32;
    std::vector<int64_t> shape;
    const void* data = nullptr;
    bool elsewhere = false;
    uint64_t bytes = 0;
    std::shared_ptr<const void> owner;  // null when the memory is the caller's
  };
  void insert(const std::string& name, TensorType type, const std::vector<int64_t>& shape, const void* data,
              uint64_t bytes, std::shared_ptr<const void> owner);
  template <class T>
  void insert_owned(const std::string& name, TensorType type, const std::vector<int64_t>& shape, std::vector<T>&& data);

  using Item = std::pair<const std::string, Tensor>;
  std::vector<const Item*> in_order() const;
  std::string header(const std::string& path) const;  // with its length before it

  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_{{"format", "pt"}};
};

}  // namespace ito
