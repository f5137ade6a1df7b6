// SPDX-License-Identifier: Apache-2.0
// See file_tree.h.
#include "engine/data/file_tree.h"

#include <algorithm>
#include <filesystem>

#include "kernels/error.h"

namespace ito {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

FileTree::Entries DiskTree::list(const std::string& folder) const {
  Entries entries;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder, error)) {
    std::error_code ignored;
    (item.is_directory(ignored) ? entries.folders : entries.files).push_back(item.path().string());
  }
  ITO_USER_CHECK(!error, folder, ": cannot be listed: ", error.message());
  return entries;
}

std::string DiskTree::real(const std::string& folder) const {
  std::error_code ignored;
  return fs::canonical(folder, ignored).string();
}

void NamedTree::add(const std::string& name) {
  const auto folder_of = [](const std::string& path) { return path.substr(0, path.rfind('/')); };
  const std::string path = root_ + "/" + name;
  std::vector<std::string> missing;  // folders above it, from the inmost out
  for (std::string folder = folder_of(path); !folders_.contains(folder); folder = folder_of(folder))
    missing.push_back(folder);
  for (const std::string& folder : missing) folders_[folder_of(folder)].folders.push_back(folder);
  for (const std::string& folder : missing) folders_[folder];
  folders_[folder_of(path)].files.push_back(path);
}

std::string tidy_name(const std::string& name) {
  std::string tidy;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (!part.empty() && part != ".") tidy += (tidy.empty() ? "" : "/") + part;
    begin = end + 1;
  }
  return tidy;
}

std::string unsafe_name(const std::string& name) {
  if (name.empty()) return "has no name";
  if (name.front() == '/') return "has an absolute path";
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    if (name.compare(begin, end - begin, "..") == 0) return "lies outside of the archive";
    begin = end + 1;
  }
  return "";
}

}  // namespace ito
