// SPDX-License-Identifier: Apache-2.0
// See pack.h. Images are fetched by threads, a stretch at a time, and each thread puts its own where they belong; the
// fingerprint follows in their order, and goes into the header last, whose length it does not change.
#include "engine/data/pack.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "engine/data/in_threads.h"
#include "engine/data/pixel_hash.h"
#include "engine/io/atomic_file.h"
#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".safetensors";

struct Metadata {
  const Dataset& data;
  uint64_t fingerprint = 0;  // 0 until it is known

  template <class Set>
  void visit(const Set& set) const {
    set(kPackedKey, "1");
    set("fingerprint", fmt::format("{:016x}", fingerprint));
    if (data.listing_hash) set("listing", fmt::format("{:016x}", data.listing_hash));
    if (!data.class_names.empty()) set("class_names", Json(data.class_names).dump());
  }
};

// A file in the making, of a run of the images.
class PackedFile {
 public:
  PackedFile(const Dataset& data, const std::string& path, int64_t first, int64_t count, bool whole)
      : data_(data), path_(path), first_(first), count_(count), whole_(whole), file_(path) {
    ITO_USER_CHECK(!file_.temporary().empty(), path, ": is no regular file; give the name of a file to make");
    for (int64_t i = first; i < first + count && !data.labels.empty(); ++i)
      labels_.push_back(data.labels[static_cast<size_t>(i)]);
    write_header(0);
  }
  uint64_t samples_at() const { return samples_at_; }
  uint64_t bytes() const { return samples_at_ + static_cast<uint64_t>(count_ * data_.image_size()); }

  // All images, hash: of the whole data set.
  void fill(const PackOptions& options, PixelHash& hash) {
    const int64_t size = data_.image_size();
    const int64_t stretch = std::clamp<int64_t>(options.stretch_bytes / size, 1, count_);
    PixelHash own(count_, data_.height, data_.width, data_.channels);
    std::vector<uint8_t> images(static_cast<size_t>(stretch * size));
    for (int64_t done = 0; done < count_; done += stretch) {
      const int64_t now = std::min(stretch, count_ - done);
      for_each_in_threads(0, now, options.threads,
                          [&](int64_t i) { put(done + i, &images[static_cast<size_t>(i * size)]); });
      const auto bytes = static_cast<size_t>(now * size);
      hash.add(images.data(), bytes);
      if (!whole_) own.add(images.data(), bytes);
      if (options.progress) options.progress(first_ + done + now);
    }
    if (!whole_) write_header(own.finish(labels_));
  }
  void write_header(uint64_t fingerprint) {
    SafetensorsWriter writer;
    Metadata{data_, fingerprint}.visit(
        [&](const char* key, const std::string& value) { writer.set_metadata(key, value); });
    writer.add_elsewhere("samples", TensorType::U8, {count_, data_.channels, data_.height, data_.width});
    if (!labels_.empty()) writer.add_i64("labels", {count_}, {labels_.begin(), labels_.end()});
    writer.for_each_part(path_, [&](uint64_t place, const void* data, size_t bytes) {
      file_.write_at(place, data, bytes);
      samples_at_ = place + bytes;  // labels are wider, so that they come first
    });
  }
  void commit() { file_.commit(); }

 private:
  // interleaved: room for it, which then holds it.
  void put(int64_t i, uint8_t* interleaved) {
    static thread_local std::vector<uint8_t> planar;
    data_.image_bytes(first_ + i, interleaved);
    const int64_t size = data_.image_size(), pixels = size / data_.channels;
    planar.resize(static_cast<size_t>(size));
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < data_.channels; ++c)
        planar[static_cast<size_t>(c * pixels + p)] = interleaved[p * data_.channels + c];
    file_.write_at(samples_at_ + static_cast<uint64_t>(i * size), planar.data(), planar.size());
  }

  const Dataset& data_;
  std::string path_;
  int64_t first_, count_;
  bool whole_;  // it has all of the images
  AtomicFile file_;
  std::vector<int32_t> labels_;
  uint64_t samples_at_ = 0;
};

void check_room(const std::string& path, uint64_t needed) {
  const fs::path folder = fs::path(path).parent_path();
  struct statvfs info {};
  if (::statvfs(folder.empty() ? "." : folder.c_str(), &info) != 0) return;
  const uint64_t free = uint64_t{info.f_bavail} * info.f_frsize;
  ITO_USER_CHECK(needed <= free, path, ": needs ", (needed >> 20) + 1, " MiB, and ",
                 folder.empty() ? "." : folder.string(), " has ", free >> 20,
                 " MiB free; free some space, write elsewhere, or pack smaller images");
}

std::string index_text(const Metadata& metadata, const std::vector<std::pair<std::string, int64_t>>& shards) {
  Json index;
  metadata.visit([&](const char* key, const std::string& value) { index["metadata"][key] = value; });
  for (const auto& [file, images] : shards) index["shards"].push_back({{"file", file}, {"images", images}});
  return json_text(index);
}

}  // namespace

Packed pack_dataset(const Dataset& data, const PackOptions& options) {
  const std::string& path = options.path;
  ITO_USER_CHECK(data.byte_images(), data.name, ": holds floats, and a packed file holds bytes; train on it as it is");
  ITO_USER_CHECK(path.ends_with(kEnding) && path.size() > std::string(kEnding).size(), path,
                 ": expected a name that ends in ", kEnding);
  ITO_USER_CHECK(options.shards >= 1 && options.shards <= std::min(kMaxShards, data.count), path, ": ", options.shards,
                 " shards asked for of ", data.count, " images; expected 1 to ", std::min(kMaxShards, data.count));
  const std::string stem = path.substr(0, path.size() - std::string(kEnding).size());
  check_room(path, static_cast<uint64_t>(data.count) * static_cast<uint64_t>(data.image_size()));

  Packed packed{path, 0};
  std::vector<std::unique_ptr<PackedFile>> files;
  std::vector<std::pair<std::string, int64_t>> shards;
  for (int64_t s = 0; s < options.shards; ++s) {
    const int64_t first = data.count * s / options.shards, end = data.count * (s + 1) / options.shards;
    const std::string name =
        options.shards == 1 ? path : fmt::format("{}-{:05}-of-{:05}{}", stem, s + 1, options.shards, kEnding);
    files.push_back(std::make_unique<PackedFile>(data, name, first, end - first, options.shards == 1));
    shards.emplace_back(fs::path(name).filename().string(), end - first);
    packed.bytes += files.back()->bytes();
  }
  PixelHash hash(data.count, data.height, data.width, data.channels);
  for (const auto& file : files) file->fill(options, hash);
  const uint64_t fingerprint = hash.finish(data.labels);
  if (options.shards == 1) {
    files.front()->write_header(fingerprint);
    files.front()->commit();
    return packed;
  }
  // The index last: without it the shards are no data set.
  packed.path = path + ".index.json";
  AtomicFile index(packed.path);
  const std::string text = index_text({data, fingerprint}, shards);
  index.write(text.data(), text.size());
  for (const auto& file : files) file->commit();
  index.commit();
  return packed;
}

}  // namespace ito
