// SPDX-License-Identifier: Apache-2.0
// A folder of PNG and JPEG images. Images directly in it have no classes; images in its sub-folders have the
// sub-folder's rank, in byte order of the names, as their class. Hidden files and other files are passed over.
#include <algorithm>
#include <cctype>
#include <filesystem>

#include "engine/data/load_dataset.h"
#include "engine/io/image.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace fs = std::filesystem;
namespace {

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

struct Listing {
  std::vector<std::string> images, folders;  // paths, sorted
};

bool has_image_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

Listing list_folder(const std::string& folder) {
  Listing listing;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder, error)) {
    if (item.path().filename().string().starts_with(".")) continue;
    std::error_code ignored;
    if (item.is_directory(ignored))
      listing.folders.push_back(item.path().string());
    else if (has_image_extension(item.path()))
      listing.images.push_back(item.path().string());
  }
  ITO_USER_CHECK(!error, folder, ": cannot be listed: ", error.message());
  std::sort(listing.images.begin(), listing.images.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

struct Source {
  std::vector<std::string> images;
  std::vector<int32_t> labels;  // empty without classes
  std::vector<std::string> class_names;
};

Source find_images(const std::string& folder) {
  const Listing top = list_folder(folder);
  Source source;
  for (const std::string& sub_folder : top.folders) {
    const std::vector<std::string> images = list_folder(sub_folder).images;
    if (images.empty()) continue;
    source.labels.insert(source.labels.end(), images.size(), static_cast<int32_t>(source.class_names.size()));
    source.class_names.push_back(fs::path(sub_folder).filename().string());
    source.images.insert(source.images.end(), images.begin(), images.end());
  }
  ITO_USER_CHECK(top.images.empty() || source.images.empty(), folder, ": has images both directly in it (",
                 top.images.size(), ") and in sub-folders (", source.images.size(),
                 "); with sub-folders as classes every image must be in one");
  if (source.images.empty()) source.images = top.images;
  ITO_USER_CHECK(!source.images.empty(), folder,
                 ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders");
  return source;
}

bool recognises(const std::string& what) {
  return is_folder(what);
}

Image read_fitted(const std::string& path, const LoadOptions& options) {
  Image image = read_image(path);
  if (options.channels) image = convert_channels(image, options.channels);
  if (options.resolution == 0) return image;
  const int64_t shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  ITO_USER_CHECK(longer <= kMaxAspect * shorter, path, ": is ", image.width, "x", image.height,
                 ", too long for its width to be cut square; take it out of the data set");
  return resize_and_center_crop(image, options.resolution);
}

void append(Dataset& data, const Image& image, const std::string& path) {
  if (data.pixels.empty()) {
    data.height = image.height;
    data.width = image.width;
    data.channels = image.channels;
  }
  ITO_USER_CHECK(image.height == data.height && image.width == data.width, path, ": is ", image.width, "x",
                 image.height, ", the images before it are ", data.width, "x", data.height,
                 "; give a resolution to bring them to one size");
  ITO_USER_CHECK(image.channels == data.channels, path, ": has ", image.channels,
                 " channels, the images before it have ", data.channels,
                 "; ask for 1 or 3 channels to bring them together");
  data.pixels.insert(data.pixels.end(), image.pixels.begin(), image.pixels.end());
  ++data.count;
}

Dataset load(const std::string& what, const LoadOptions& options) {
  std::string folder = what;
  // Both names, so that a class that happens to be called "test" is not taken for a split.
  if (is_folder(fs::path(what) / "train") && is_folder(fs::path(what) / "test"))
    folder = (fs::path(what) / (options.split == Split::Train ? "train" : "test")).string();
  Source source = find_images(folder);
  Dataset data;
  data.name = what;
  for (const std::string& path : source.images) append(data, read_fitted(path, options), path);
  data.labels = std::move(source.labels);
  data.class_names = std::move(source.class_names);
  return data;
}

}  // namespace

extern const DatasetFormat kImageFolderFormat;
const DatasetFormat kImageFolderFormat = {"a folder of PNG or JPEG images", recognises, load};

}  // namespace ito
