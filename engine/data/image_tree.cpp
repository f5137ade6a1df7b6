// SPDX-License-Identifier: Apache-2.0
// See image_tree.h.
#include "engine/data/image_tree.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

// A path for a message: an archive's names may hold any bytes, and be longer than a line. The end says more.
std::string shown(const fs::path& path) {
  constexpr size_t kLongest = 200;
  const std::string text = printable(path.string());
  if (text.size() <= kLongest) return text;
  size_t begin = text.size() - kLongest;
  while (begin < text.size() && (text[begin] & 0xc0) == 0x80) ++begin;  // not within a character
  return "..." + text.substr(begin);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_any_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Pictures that are not read: a folder of them would be a class if they were.
bool is_other_picture(const std::string& extension) {
  return is_any_of(extension, {".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2",
                               ".ppm", ".pgm", ".tga", ".psd", ".dng", ".cr2", ".nef", ".arw"});
}

// What hides from a listing, and the folder of resource forks that one system's archives unpack to.
bool is_hidden(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with('.') || name == "__MACOSX";
}

struct Found {
  std::vector<std::string> images;    // paths
  std::map<std::string, int> others;  // files by extension
  std::string first_other;

  int other_count() const {
    int count = 0;
    for (const auto& [extension, n] : others) count += n;
    return count;
  }
  bool has_other_pictures() const {
    return std::any_of(others.begin(), others.end(), [](const auto& item) { return is_other_picture(item.first); });
  }
  // "3 .webp, 1 .txt"; the first few, since any name with a dot has an extension
  std::string other_kinds() const {
    constexpr int kMost = 8;
    std::string text;
    int kinds = 0, left = other_count();
    for (const auto& [extension, n] : others) {
      if (kinds++ == kMost) return join_text(text, ", ", left, " more");
      text += join_text(text.empty() ? "" : ", ", n, " ",
                        extension.empty() ? "without an extension" : printable(extension, 20));
      left -= n;
    }
    return text;
  }
  void add(Found more) {
    images.insert(images.end(), more.images.begin(), more.images.end());
    for (const auto& [extension, n] : more.others) others[extension] += n;
    if (first_other.empty()) first_other = more.first_other;
  }
};

struct Listing {
  Found files;
  std::vector<fs::path> folders;  // sorted
};

Listing list_folder(const FileTree& tree, const fs::path& folder) {
  Listing listing;
  FileTree::Entries entries = tree.list(folder.string());
  for (const std::string& sub_folder : entries.folders)
    if (!is_hidden(sub_folder)) listing.folders.emplace_back(sub_folder);
  for (std::string& path : entries.files) {
    if (is_hidden(path)) continue;
    const std::string extension = lower(fs::path(path).extension().string());
    if (is_read(extension)) {
      listing.files.images.push_back(std::move(path));
      continue;
    }
    ++listing.files.others[extension];
    std::string& first = listing.files.first_other;
    if (first.empty() || path < first) first = path;
  }
  std::sort(listing.files.images.begin(), listing.files.images.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

// Everything below a folder. above: the folders that lead to it, so that a link back to one of them ends.
Found everything_below(const FileTree& tree, const fs::path& folder, std::vector<std::string>& above) {
  const std::string real = tree.real(folder.string());
  if (std::find(above.begin(), above.end(), real) != above.end()) {
    warn(shown(folder), ": is a link to a folder that it is in; passed over");
    return {};
  }
  above.push_back(real);
  Listing listing = list_folder(tree, folder);
  for (const fs::path& sub_folder : listing.folders) listing.files.add(everything_below(tree, sub_folder, above));
  above.pop_back();
  std::sort(listing.files.images.begin(), listing.files.images.end());
  return listing.files;
}

Found everything_below(const FileTree& tree, const fs::path& folder) {
  std::vector<std::string> above;
  return everything_below(tree, folder, above);
}

enum class Part { None, Train, Test, Validation };
Part part_of(const fs::path& folder) {
  const std::string name = lower(folder.filename().string());
  if (is_any_of(name, {"train", "training"})) return Part::Train;
  if (is_any_of(name, {"test", "testing"})) return Part::Test;
  if (is_any_of(name, {"val", "valid", "validation", "dev", "eval"})) return Part::Validation;
  return Part::None;
}

// The folder of the split that is asked for, or the folder itself where it has no splits. Two of them must be there, or
// nothing else, so that a class that happens to be called "test" is not taken for a split.
fs::path folder_of_split(const FileTree& tree, const fs::path& folder, Split split) {
  const Listing top = list_folder(tree, folder);
  std::map<Part, fs::path> parts;
  std::vector<fs::path> rest;
  for (const fs::path& sub_folder : top.folders) {
    const Part part = part_of(sub_folder);
    if (part == Part::None || !parts.emplace(part, sub_folder).second) rest.push_back(sub_folder);
  }
  const bool alone = rest.empty() && top.files.images.empty();
  if (parts.empty() || (!alone && (parts.size() < 2 || !parts.contains(Part::Train)))) return folder;
  for (const fs::path& other : rest)
    warn(shown(other), ": is passed over, since ", parts.begin()->second.filename().string(),
         " beside it is a split of the data");
  if (!top.files.images.empty())
    warn(shown(folder), ": ", top.files.images.size(), " images beside the folder ",
         parts.begin()->second.filename().string(), " are passed over, since that is a split of the data");
  ITO_USER_CHECK(split == Split::Test || parts.contains(Part::Train), shown(folder), ": has a folder ",
                 parts.begin()->second.filename().string(), " and none for training; give ",
                 shown(parts.begin()->second), " itself to train on it");
  if (split == Split::Test)
    for (const Part part : {Part::Test, Part::Validation})
      if (parts.contains(part)) return parts[part];
  return parts.at(Part::Train);
}

// An archive often unpacks to one folder that holds all: that is the data set then.
fs::path inside_wrapper(const FileTree& tree, fs::path folder) {
  for (;;) {
    const Listing top = list_folder(tree, folder);
    if (top.folders.size() != 1 || !top.files.images.empty() || part_of(top.folders.front()) != Part::None)
      return folder;
    const Listing next = list_folder(tree, top.folders.front());
    if (next.folders.empty() || !next.files.images.empty()) return folder;
    folder = top.folders.front();
  }
}

void tell_of_others(const fs::path& folder, const Found& found) {
  if (const int count = found.other_count())
    warn(shown(folder), ": passed over ", count, count == 1 ? " file that is" : " files that are",
         " no PNG or JPEG by name: ", found.other_kinds(), " (", shown(found.first_other), count > 1 ? ", ...)" : ")");
}

}  // namespace

bool is_read(const std::string& extension) {
  return is_any_of(lower(extension), {".png", ".jpg", ".jpeg", ".jpe", ".jfif"});
}

ImageTree find_images(const std::string& folder, Split split) {
  return find_images(DiskTree(), folder, split);
}

ImageTree find_images(const FileTree& files, const std::string& data_folder, Split split) {
  const fs::path outer = inside_wrapper(files, data_folder);
  const fs::path folder = inside_wrapper(files, folder_of_split(files, outer, split));
  const Listing top = list_folder(files, folder);
  ImageTree tree;
  Found all = top.files;
  for (const fs::path& sub_folder : top.folders) {
    const Found found = everything_below(files, sub_folder);
    all.add(found);
    if (found.images.empty()) {
      ITO_USER_CHECK(!found.has_other_pictures(), shown(sub_folder), ": holds pictures (", found.other_kinds(),
                     ") and none that is read; convert them to PNG or JPEG, or take the folder out, since it would be "
                     "a class");
      warn(shown(sub_folder), ": holds no images, so it is no class");
      continue;
    }
    tree.labels.insert(tree.labels.end(), found.images.size(), static_cast<int32_t>(tree.class_names.size()));
    tree.class_names.push_back(sub_folder.filename().string());
    tree.images.insert(tree.images.end(), found.images.begin(), found.images.end());
  }
  ITO_USER_CHECK(top.files.images.empty() || tree.images.empty(), shown(folder), ": has images both directly in it (",
                 top.files.images.size(), ") and in sub-folders (", tree.images.size(),
                 "); with sub-folders as classes every image must be in one");
  if (tree.images.empty()) tree.images = top.files.images;
  ITO_USER_CHECK(!tree.images.empty(), shown(folder),
                 ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders",
                 all.others.empty() ? "" : "; it holds " + all.other_kinds());
  tell_of_others(folder, all);
  return tree;
}

}  // namespace ito
