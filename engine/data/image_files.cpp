// SPDX-License-Identifier: Apache-2.0
// Image files of a folder, as they are on the disk. See encoded_images.h.
#include <algorithm>
#include <filesystem>

#include "engine/data/encoded_images.h"
#include "engine/io/image.h"
#include "engine/io/input_file.h"

namespace ito {
namespace {

class ImageFiles : public EncodedImages {
 public:
  ImageFiles(const std::string& folder, std::vector<std::string> paths) : folder_(folder), paths_(std::move(paths)) {}

  int64_t count() const override { return static_cast<int64_t>(paths_.size()); }
  std::string name(int64_t index) const override { return path(index); }
  std::string listed_name(int64_t index) const override {
    if (!path(index).starts_with(folder_)) return path(index);
    return path(index).substr(std::min(path(index).find_first_not_of('/', folder_.size()), path(index).size()));
  }
  uint64_t stored_bytes(int64_t index) const override {
    std::error_code ignored;
    const uint64_t bytes = std::filesystem::file_size(path(index), ignored);
    return ignored ? 0 : bytes;
  }
  std::span<const uint8_t> bytes(int64_t index, std::vector<uint8_t>& room) const override {
    room = read_whole_file(path(index), kMaxImageBytes);
    return room;
  }

 private:
  const std::string& path(int64_t index) const { return paths_[static_cast<size_t>(index)]; }

  std::string folder_;
  std::vector<std::string> paths_;
};

}  // namespace

std::shared_ptr<const EncodedImages> image_files(const std::string& folder, std::vector<std::string> paths) {
  return std::make_shared<ImageFiles>(folder, std::move(paths));
}

}  // namespace ito
