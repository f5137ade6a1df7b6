// SPDX-License-Identifier: Apache-2.0
// Writing safetensors. Wide elements come first in the data, each width in name order: every tensor then starts at a
// multiple of its element size, which loaders that view the file's memory in place require.
#include <algorithm>
#include <limits>
#include <utility>

#include "engine/io/atomic_file.h"
#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {

void SafetensorsWriter::insert(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                               const void* data, uint64_t bytes, std::shared_ptr<const void> owner) {
  ITO_CHECK(name != "__metadata__", "safetensors: a tensor cannot be named __metadata__");
  uint64_t expected = size_of(type);
  for (const int64_t dimension : shape)
    ITO_CHECK(dimension >= 0 && !__builtin_mul_overflow(expected, static_cast<uint64_t>(dimension), &expected),
              "safetensors: tensor ", quote_name(name), ": bad dimension ", dimension);
  ITO_CHECK(bytes == expected, "safetensors: tensor ", quote_name(name), ": ", bytes, " bytes given, its shape needs ",
            expected);
  const bool is_new = tensors_.emplace(name, Tensor{type, shape, data, false, bytes, std::move(owner)}).second;
  ITO_CHECK(is_new, "safetensors: tensor ", quote_name(name), ": added twice");
}

template <class T>
void SafetensorsWriter::insert_owned(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                                     std::vector<T>&& data) {
  const auto kept = std::make_shared<const std::vector<T>>(std::move(data));
  insert(name, type, shape, kept->data(), kept->size() * sizeof(T), kept);
}

void SafetensorsWriter::add(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> data) {
  insert(name, TensorType::F32, shape, data.data(), data.size_bytes(), nullptr);
}

void SafetensorsWriter::add(const std::string& name, const std::vector<int64_t>& shape, std::vector<float>&& data) {
  insert_owned(name, TensorType::F32, shape, std::move(data));
}

void SafetensorsWriter::add_i64(const std::string& name, const std::vector<int64_t>& shape, std::vector<int64_t> data) {
  insert_owned(name, TensorType::I64, shape, std::move(data));
}

void SafetensorsWriter::add_u8(const std::string& name, const std::vector<int64_t>& shape,
                               std::span<const uint8_t> data) {
  insert(name, TensorType::U8, shape, data.data(), data.size(), nullptr);
}

void SafetensorsWriter::add_u8(const std::string& name, const std::vector<int64_t>& shape,
                               std::vector<uint8_t>&& data) {
  insert_owned(name, TensorType::U8, shape, std::move(data));
}

void SafetensorsWriter::add_raw(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                                std::span<const uint8_t> bytes) {
  insert(name, type, shape, bytes.data(), bytes.size(), nullptr);
}

void SafetensorsWriter::add_elsewhere(const std::string& name, TensorType type, const std::vector<int64_t>& shape) {
  uint64_t bytes = size_of(type);
  for (const int64_t dimension : shape) bytes *= static_cast<uint64_t>(dimension);
  insert(name, type, shape, nullptr, bytes, nullptr);
  tensors_.at(name).elsewhere = true;
}

std::vector<const SafetensorsWriter::Item*> SafetensorsWriter::in_order() const {
  std::vector<const Item*> order;
  for (const auto& item : tensors_) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return size_of(a->second.type) > size_of(b->second.type); });
  return order;
}

std::string SafetensorsWriter::header(const std::string& path) const {
  Json header = Json::object();
  header["__metadata__"] = metadata_;
  uint64_t position = 0;
  for (const Item* item : in_order()) {
    const Tensor& tensor = item->second;
    header[item->first] = {{"dtype", name_of(tensor.type)},
                           {"shape", tensor.shape},
                           {"data_offsets", {position, position + tensor.bytes}}};
    position += tensor.bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    fail<Error>(path, ": a tensor's name or a metadata value is not UTF-8");
  }
  // Spaces after the header, so that the data begins at a multiple of 8.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

void SafetensorsWriter::for_each_part(const std::string& path, const Visit& visit) const {
  const std::string beginning = header(path);
  visit(0, beginning.data(), beginning.size());
  const Places where = places(path);
  for (const Item* item : in_order())
    if (const Tensor& tensor = item->second; !tensor.elsewhere)
      visit(where.of.at(item->first), tensor.data, tensor.bytes);
}

SafetensorsWriter::Places SafetensorsWriter::places(const std::string& path) const {
  Places places{{}, header(path).size()};
  for (const Item* item : in_order()) {
    places.of[item->first] = places.end;
    places.end += item->second.bytes;
  }
  return places;
}

void SafetensorsWriter::write(const std::string& path) const {
  for (const auto& [name, tensor] : tensors_)
    ITO_CHECK(!tensor.elsewhere, "safetensors: tensor ", quote_name(name), ": its data is not here");
  AtomicFile file(path);
  for_each_part(path, [&](uint64_t, const void* data, size_t bytes) { file.write(data, bytes); });
  file.commit();
}

}  // namespace ito
