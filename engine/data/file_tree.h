// SPDX-License-Identifier: Apache-2.0
// Folders and the files in them, of the disk or of an archive's names, so that one rule says which of them are a data
// set's images.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace ito {

// Whether the disk has such a file or folder, or a link to one; false also where nobody may look.
bool is_file(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

class FileTree {
 public:
  struct Entries {
    std::vector<std::string> files, folders;  // paths, which begin with the folder's
  };
  virtual ~FileTree() = default;
  virtual Entries list(const std::string& folder) const = 0;
  // The folder without links, so that one that leads back to a folder above it can be told.
  virtual std::string real(const std::string& folder) const { return folder; }
};

class DiskTree : public FileTree {
 public:
  Entries list(const std::string& folder) const override;  // UserError if it cannot be read
  std::string real(const std::string& folder) const override;
};

// Names with slashes, as archives have them; each is the path root/name.
class NamedTree : public FileTree {
 public:
  explicit NamedTree(std::string root) : root_(std::move(root)) { folders_[root_]; }
  void add(const std::string& name);  // a file's
  Entries list(const std::string& folder) const override { return folders_.at(folder); }

 private:
  std::string root_;
  std::map<std::string, Entries> folders_;
};

// Without what means nothing in it: "./a//b" is "a/b".
std::string tidy_name(const std::string& name);

// Why a file by this name in an archive could not be one of a data set's, or "": an absolute path, or one that leads
// out of the archive. Nothing is ever written by such a name; who makes one has something else in mind than images.
std::string unsafe_name(const std::string& name);

}  // namespace ito
