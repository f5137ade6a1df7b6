// SPDX-License-Identifier: Apache-2.0
// Images in tar archives: one, a folder of them, or a pattern of shards. They are decoded from where they lie in the
// archive; archive_images.h says which files are images, and of which classes.
#include <algorithm>
#include <filesystem>

#include "engine/data/archive_images.h"
#include "engine/data/file_pattern.h"
#include "engine/data/file_tree.h"
#include "engine/data/foreign_file.h"
#include "engine/data/image_tree.h"
#include "engine/io/input_file.h"
#include "engine/io/tar_archive.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

// The files of all archives, one archive after another.
class TarMembers : public EncodedImages {
 public:
  explicit TarMembers(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      archives_.push_back(std::make_unique<TarArchive>(path));
      for (const TarArchive::Member& member : archives_.back()->members()) add(member);
    }
  }
  int64_t count() const override { return static_cast<int64_t>(files_.size()); }
  std::string name(int64_t index) const override {
    return at(index).archive->path() + ": " + printable(at(index).name, 200);
  }
  std::string listed_name(int64_t index) const override { return at(index).name; }
  uint64_t stored_bytes(int64_t index) const override { return at(index).member->bytes; }
  std::span<const uint8_t> bytes(int64_t index, std::vector<uint8_t>&) const override {
    return at(index).archive->bytes(*at(index).member);
  }

 private:
  struct File {
    const TarArchive* archive;
    const TarArchive::Member* member;
    std::string name;
  };
  void add(const TarArchive::Member& member) {
    const std::string where = archives_.back()->path() + ": " + printable(member.name, 200);
    const std::string unsafe = unsafe_name(member.name);
    ITO_USER_CHECK(unsafe.empty(), where, ": ", unsafe, "; make the archive with names below one folder");
    if (member.is_link) {
      ITO_USER_CHECK(!is_read(fs::path(member.name).extension().string()), where,
                     ": is a link, which is not followed; store the file itself");
      return;
    }
    files_.push_back({archives_.back().get(), &member, tidy_name(member.name)});
  }
  const File& at(int64_t index) const { return files_[static_cast<size_t>(index)]; }

  std::vector<std::unique_ptr<TarArchive>> archives_;
  std::vector<File> files_;
};

// The archives in a folder, by name; none if images or other folders are there too.
std::vector<std::string> tars_in(const std::string& folder) {
  std::vector<std::string> tars;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder, error)) {
    const std::string path = item.path().string();
    if (item.path().filename().string().starts_with('.')) continue;
    if (item.is_directory() || is_read(item.path().extension().string())) return {};
    if (path.ends_with(".tar")) tars.push_back(path);
  }
  std::sort(tars.begin(), tars.end());
  return tars;
}

bool is_tar(const std::string& what) {
  if (is_file(what)) return is_tar_file(what);
  return is_file_pattern(what) || !tars_in(what).empty();
}

Dataset load_tar(const std::string& what, const LoadOptions& options) {
  std::vector<std::string> paths{what};
  if (is_file_pattern(what)) paths = files_of_pattern(what);
  if (!is_file(what) && !is_file_pattern(what)) paths = tars_in(what);
  for (const std::string& path : paths) {
    if (is_file(path) && is_tar_file(path)) continue;
    const std::string foreign = foreign_file(path);
    fail<UserError>(path, ": is ", foreign.empty() ? "no tar archive" : foreign,
                    "; images are read from where they lie in tar archives that are not compressed");
  }
  return load_archive(what, std::make_shared<TarMembers>(paths), true, options);
}

}  // namespace

extern const DatasetFormat kTarFormat;
const DatasetFormat kTarFormat = {"a tar of images, a folder of tars, or shards-{000..012}.tar", is_tar, load_tar};

}  // namespace ito
