// SPDX-License-Identifier: Apache-2.0
// Images in a zip archive, as EDM's tools and ImageNet's mirrors have them. Members are unpacked one at a time when
// they are decoded; archive_images.h says which files are images, and of which classes.
#include <filesystem>
#include <set>

#include "engine/data/archive_images.h"
#include "engine/data/file_tree.h"
#include "engine/data/image_tree.h"
#include "engine/io/zip_archive.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr uint64_t kMaxMembers = uint64_t{1} << 31;

class ZipMembers : public EncodedImages {
 public:
  explicit ZipMembers(const std::string& path) : zip_(ZipArchive::open(path, kMaxMembers, "files")) {
    std::set<std::string> known;
    for (const ZipArchive::Member& member : zip_.members()) {
      const std::string where = zip_.place(member), unsafe = unsafe_name(member.name);
      ITO_USER_CHECK(unsafe.empty(), where, ": ", unsafe, "; make the archive with names below one folder");
      const std::string name = tidy_name(member.name);
      const bool image = is_read(std::filesystem::path(name).extension().string());
      ITO_USER_CHECK(!image || !member.is_link, where, ": is a link, which is not followed; store the file itself");
      if (member.is_link) continue;
      ITO_USER_CHECK(known.insert(name).second, where, ": is there twice");
      files_.push_back({&member, name});
    }
  }
  int64_t count() const override { return static_cast<int64_t>(files_.size()); }
  std::string name(int64_t index) const override { return zip_.place(*at(index).member); }
  std::string listed_name(int64_t index) const override { return at(index).name; }
  uint64_t stored_bytes(int64_t index) const override { return at(index).member->bytes; }
  std::span<const uint8_t> bytes(int64_t index, std::vector<uint8_t>& room) const override {
    room = zip_.unpack(*at(index).member);
    return room;
  }

 private:
  struct File {
    const ZipArchive::Member* member;
    std::string name;
  };
  const File& at(int64_t index) const { return files_[static_cast<size_t>(index)]; }

  ZipArchive zip_;
  std::vector<File> files_;
};

bool is_zip(const std::string& what) {
  return is_file(what) && is_zip_file(what);
}

Dataset load_zip(const std::string& what, const LoadOptions& options) {
  return load_archive(what, std::make_shared<ZipMembers>(what), false, options);
}

}  // namespace

extern const DatasetFormat kZipFormat;
const DatasetFormat kZipFormat = {"a zip of images", is_zip, load_zip};

}  // namespace ito
