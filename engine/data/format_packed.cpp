// SPDX-License-Identifier: Apache-2.0
// A packed data set (pack.h), mapped into memory: an image is copied from its place when it is wanted, so that the set
// may be larger than memory and is there at once. Several processes share its pages.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>

#include "engine/data/file_tree.h"
#include "engine/data/load_dataset.h"
#include "engine/data/pack.h"
#include "engine/io/hash.h"
#include "engine/io/image.h"
#include "engine/io/json_file.h"
#include "engine/io/mapped_file.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexEnding = ".index.json";
constexpr int64_t kRunBytes = 1 << 18;       // that a thread fetches at a time
constexpr int64_t kReadAheadFrom = 1 << 13;  // an image of less is a page fault or two

using Facts = std::map<std::string, std::string>;

struct PackedShape {
  int height = 0, width = 0, channels = 0;
  int64_t size() const { return int64_t{height} * width * channels; }
  bool operator==(const PackedShape&) const = default;
};

// Images (C, H, W) from `place` on in a file.
struct Shard {
  std::unique_ptr<MappedFile> file;
  uint64_t place = 0;
  int64_t first = 0, end = 0;  // of all shards' images
};

class PackedImages : public ImageSource {
 public:
  PackedImages(std::vector<Shard> shards, const PackedShape& stored, const PackedShape& wanted)
      : shards_(std::move(shards)), stored_(stored), wanted_(wanted) {
    for (const Shard& shard : shards_) shard.file->expect_random_access();
  }
  int64_t run() const override { return std::max<int64_t>(1, kRunBytes / stored_.size()); }
  void read(int64_t index, uint8_t* out) const override {
    if (stored_ == wanted_) return copy(index, out);
    Image image(stored_.height, stored_.width, stored_.channels);
    copy(index, image.pixels.data());
    if (wanted_.channels != image.channels) image = convert_channels(image, wanted_.channels);
    if (wanted_.height != image.height || wanted_.width != image.width)
      image = resize_and_center_crop(image, wanted_.height, wanted_.width);
    std::copy(image.pixels.begin(), image.pixels.end(), out);
  }

 private:
  void copy(int64_t index, uint8_t* out) const {
    const Shard& shard =
        *std::upper_bound(shards_.begin(), shards_.end(), index, [](int64_t i, const Shard& s) { return i < s.end; });
    const auto size = static_cast<uint64_t>(stored_.size());
    const uint64_t place = shard.place + static_cast<uint64_t>(index - shard.first) * size;
    const std::span<const uint8_t> planar = shard.file->bytes(place, size);
    if (stored_.size() >= kReadAheadFrom) shard.file->read_ahead(place, size);
    const int64_t pixels = int64_t{stored_.height} * stored_.width;
    if (stored_.channels == 3) {  // by far the most frequent; the compiler makes more of it
      const uint8_t *red = planar.data(), *green = red + pixels, *blue = green + pixels;
      for (int64_t p = 0; p < pixels; ++p) {
        out[3 * p] = red[p];
        out[3 * p + 1] = green[p];
        out[3 * p + 2] = blue[p];
      }
    } else {
      std::copy(planar.begin(), planar.end(), out);  // one channel
    }
  }

  std::vector<Shard> shards_;
  PackedShape stored_, wanted_;
};

uint64_t hash_in(const Facts& facts, const char* key, const std::string& where) {
  const auto found = facts.find(key);
  if (found == facts.end()) return 0;
  const std::string& text = found->second;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  ITO_USER_CHECK(text.size() == 16 && error == std::errc() && end == text.data() + text.size(), where, ": ", key,
                 " is ", quote_name(text), "; 16 hexadecimal digits are expected");
  return value;
}

std::vector<std::string> names_in(const Facts& facts, const std::string& where) {
  std::vector<std::string> names;
  const auto found = facts.find("class_names");
  if (found == facts.end()) return names;
  const Json list = parse_json(found->second, where + ": class_names");
  ITO_USER_CHECK(list.is_array(), where, ": class_names must be a list of names");
  for (const Json& name : list) {
    ITO_USER_CHECK(name.is_string(), where, ": class_names must be a list of names");
    names.push_back(name.get<std::string>());
  }
  return names;
}

// One more shard, whose images come after those that are there.
void add_shard(const std::string& path, Dataset& data, PackedShape& shape, std::vector<Shard>& shards) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const SafetensorsFile::Entry& samples = file.entry("samples");
  ITO_USER_CHECK(samples.type == TensorType::U8 && samples.shape.size() == 4, path, ": samples are ",
                 name_of(samples.type), " ", shape_text(samples.shape), "; U8 (N, C, H, W) is expected");
  for (const int64_t extent : samples.shape)
    ITO_USER_CHECK(extent > 0 && extent <= std::numeric_limits<int>::max(), path,
                   ": tensor 'samples' has a dimension of ", extent);
  const PackedShape own{static_cast<int>(samples.shape[2]), static_cast<int>(samples.shape[3]),
                        static_cast<int>(samples.shape[1])};
  ITO_USER_CHECK(own.channels == 1 || own.channels == 3, path, ": tensor 'samples' is U8 with ", own.channels,
                 " channels; 1 or 3 are expected");
  if (shards.empty()) shape = own;
  ITO_USER_CHECK(own == shape, path, ": has images of ", own.width, "x", own.height, "x", own.channels,
                 ", the shards before it of ", shape.width, "x", shape.height, "x", shape.channels);
  const bool labelled = file.has("labels");
  ITO_USER_CHECK(shards.empty() || labelled == !data.labels.empty(), path, ": has ", labelled ? "labels" : "no labels",
                 ", unlike the shards before it");
  const int64_t count = samples.shape[0], first = data.count;
  ITO_USER_CHECK(first + count <= std::numeric_limits<int>::max(), path, ": more images than can be counted");
  if (labelled) {
    file.check_shape("labels", {count});
    for (const int64_t label : file.read_i64("labels")) {
      ITO_USER_CHECK(label >= 0 && label < std::numeric_limits<int32_t>::max(), path, ": labels: ", label,
                     " is not a class (0, 1, 2, ...)");
      data.labels.push_back(static_cast<int32_t>(label));
    }
  }
  data.count = static_cast<int>(first + count);
  shards.push_back({std::make_unique<MappedFile>(path), file.place_of("samples"), first, first + count});
}

bool is_index(const std::string& what) {
  return what.ends_with(kIndexEnding) && is_file(what);
}

bool is_packed(const std::string& what) {
  if (is_index(what)) return true;
  if (!what.ends_with(".safetensors") || !is_file(what)) return false;
  return SafetensorsFile::open(what).metadata().contains(kPackedKey);
}

// The files that an index lists, and how many images it says that each has.
struct Listed {
  std::string path;
  int64_t images;
};
std::vector<Listed> read_index(const std::string& what, Facts& facts) {
  const Json index = read_json_file(what);
  const bool good = index.is_object() && index.contains("metadata") && index["metadata"].is_object() &&
                    index["metadata"].contains(kPackedKey) && index.contains("shards") && index["shards"].is_array() &&
                    !index["shards"].empty();
  ITO_USER_CHECK(good, what, ": is no index of a packed data set, with \"metadata\" and a list of \"shards\"");
  for (const auto& [key, value] : index["metadata"].items()) {
    ITO_USER_CHECK(value.is_string(), what, ": metadata: ", quote_name(key), " must be text");
    facts[key] = value.get<std::string>();
  }
  std::vector<Listed> listed;
  for (const Json& shard : index["shards"]) {
    const bool fields = shard.is_object() && shard.contains("file") && shard["file"].is_string() &&
                        shard.contains("images") && shard["images"].is_number_integer();
    ITO_USER_CHECK(fields, what, ": shard ", listed.size(), " must be {\"file\": name, \"images\": number}");
    const std::string name = shard["file"].get<std::string>();
    ITO_USER_CHECK(is_name_of_file(name), what, ": shard ", quote_name(name),
                   " is no name of a file in the index's folder");
    listed.push_back({(fs::path(what).parent_path() / name).string(), shard["images"].get<int64_t>()});
  }
  return listed;
}

Dataset load_packed(const std::string& what, const LoadOptions& options) {
  Dataset data;
  data.name = what;
  PackedShape stored;
  std::vector<Shard> shards;
  Facts facts;
  if (is_index(what)) {
    for (const Listed& listed : read_index(what, facts)) {
      add_shard(listed.path, data, stored, shards);
      const int64_t found = shards.back().end - shards.back().first;
      ITO_USER_CHECK(found == listed.images, listed.path, ": has ", found, " images, and ", what, " says ",
                     listed.images);
    }
  } else {
    facts = SafetensorsFile::open(what).metadata();
    add_shard(what, data, stored, shards);
  }
  data.class_names = names_in(facts, what);
  ITO_USER_CHECK(
      data.class_names.empty() || data.labels.empty() ||
          *std::max_element(data.labels.begin(), data.labels.end()) < static_cast<int64_t>(data.class_names.size()),
      what, ": has labels past its ", data.class_names.size(), " class names");
  PackedShape wanted = stored;
  if (options.channels) wanted.channels = options.channels;
  if (options.height) wanted.height = options.height, wanted.width = options.width;
  ITO_USER_CHECK(covers_closely(stored.height, stored.width, wanted.height, wanted.width), what, ": images are ",
                 stored.width, "x", stored.height, ", too long to be cut to ", wanted.width, "x", wanted.height,
                 "; leave out the resolution");
  data.height = wanted.height;
  data.width = wanted.width;
  data.channels = wanted.channels;
  data.pixel_hash = hash_in(facts, "fingerprint", what);
  data.listing_hash = hash_in(facts, "listing", what);
  if (wanted != stored) {  // other pixels than those that were hashed
    for (const int size : {wanted.height, wanted.width, wanted.channels})
      data.pixel_hash = hash_word(data.pixel_hash, static_cast<uint64_t>(size));
    data.listing_hash = 0;
  }
  data.source = std::make_shared<PackedImages>(std::move(shards), stored, wanted);
  return data;
}

}  // namespace

extern const DatasetFormat kPackedFormat;
const DatasetFormat kPackedFormat = {"a packed data set or the .index.json of its shards", is_packed, load_packed};

}  // namespace ito
