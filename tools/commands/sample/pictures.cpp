// SPDX-License-Identifier: Apache-2.0
// See pictures.h.
#include "tools/commands/sample/pictures.h"

#include <algorithm>

#include "engine/io/npz.h"
#include "engine/io/sample_grid.h"

namespace ito {
namespace {

constexpr int64_t kPiece = 1 << 22;  // numbers

// Calls use(bytes) for pieces of images 0 .. count-1, in their order.
template <class Use>
void for_each_piece(const SampleFile& samples, int64_t count, const Use& use) {
  const int64_t most = std::max<int64_t>(1, kPiece / samples.image().size());
  for (int64_t at = 0; at < count; at += most) use(to_bytes(samples.read(at, std::min(most, count - at))));
}

}  // namespace

void write_grid(const std::string& path, const SampleFile& samples, int64_t most) {
  const int64_t count = std::min(samples.count(), most);
  std::vector<uint8_t> all;
  for_each_piece(samples, count,
                 [&](const std::vector<uint8_t>& bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
  write_png(path, sample_grid(all, count, samples.image()));
}

void write_npz_samples(const std::string& path, const SampleFile& samples) {
  const ImageShape& image = samples.image();
  NpzWriter archive(path);
  archive.begin("arr_0", TensorType::U8, {samples.count(), image.height, image.width, image.channels});
  for_each_piece(samples, samples.count(), [&](const std::vector<uint8_t>& bytes) { archive.write(bytes); });
  const SampleFacts& beside = samples.beside();
  if (beside.class_of) {
    archive.begin("arr_1", TensorType::I64, {samples.count()});
    for (int64_t i = 0; i < samples.count(); ++i) {
      const int64_t label = beside.class_of(i);
      archive.write({reinterpret_cast<const uint8_t*>(&label), sizeof label});
    }
  }
  if (!beside.values.empty()) {
    archive.begin("arr_1", TensorType::F32, samples.label_shape());
    archive.write({reinterpret_cast<const uint8_t*>(beside.values.data()), beside.values.size() * sizeof(float)});
  }
  archive.commit();
}

}  // namespace ito
