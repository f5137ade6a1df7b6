// SPDX-License-Identifier: Apache-2.0
// See parts_folder.h. A part is named by the items in it, so that runs of other batches go on with each other's.
#include "tools/commands/parts_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "engine/io/atomic_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kFolder = "parts", *kSettings = "settings.json";

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code none_there;
  for (const auto& item : std::filesystem::directory_iterator(folder, none_there))
    names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// In order, those that meet or overlap as one.
std::vector<IndexRange> joined(std::vector<IndexRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const IndexRange& a, const IndexRange& b) {
    return std::pair(a.first, a.end()) < std::pair(b.first, b.end());
  });
  std::vector<IndexRange> all;
  for (const IndexRange& range : ranges)
    if (!all.empty() && range.first <= all.back().end())
      all.back().count = std::max(all.back().end(), range.end()) - all.back().first;
    else
      all.push_back(range);
  return all;
}

}  // namespace

PartsFolder::PartsFolder(const std::string& out, Names names, Json settings)
    : folder_(std::filesystem::path(out) / kFolder), names_(std::move(names)), settings_(std::move(settings)) {
  check_settings();
}

PartsFolder::~PartsFolder() {
  if (lock_ >= 0) ::close(lock_);
}

std::string PartsFolder::name_of(const IndexRange& part) const {
  return join_text(names_.item, "-", part.first, "+", part.count, names_.suffix);
}

bool PartsFolder::is_part(const std::string& name, IndexRange* part) const {
  long long first = 0, count = 0;
  if (!name.starts_with(names_.item)) return false;
  if (std::sscanf(name.c_str() + names_.item.size(), "-%lld+%lld", &first, &count) != 2) return false;
  const IndexRange found{first, count};
  if (part) *part = found;
  return name == name_of(found);
}

// What a write that was ended left is ours too.
bool PartsFolder::is_ours(const std::string& name) const {
  return is_part(name) || name == kSettings || name.find(".partial") != std::string::npos ||
         std::ranges::find(names_.files, name) != names_.files.end();
}

void PartsFolder::check_settings() const {
  const std::vector<std::string> names = names_in(folder_);
  if (std::ranges::none_of(names, [this](const std::string& name) { return is_part(name); })) return;
  const std::string again = "; give what was given then to go on, or remove the folder to begin anew";
  ITO_USER_CHECK(std::filesystem::exists(path(kSettings)), folder_.string(), ": holds parts of a run but no ",
                 kSettings, "; remove the folder to begin anew");
  const Json stored = read_json_file(path(kSettings));
  for (const auto& [key, value] : settings_.items()) {
    const Json was = stored.is_object() && stored.contains(key) ? stored[key] : Json();
    if (was == value) continue;
    ITO_USER_CHECK(key.starts_with("--"), folder_.string(), ": holds parts of a run that did not have the same ", key,
                   again);
    fail<UserError>(folder_.string(), ": holds parts of a run with ", key, " ", was.dump(), ", and now it is ",
                    value.dump(), again);
  }
}

// The system lets go of it when the process ends, however it ends. File systems without such locks go without.
void PartsFolder::claim() {
  if (lock_ >= 0) return;
  lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool taken = lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ITO_USER_CHECK(!taken, folder_.string(), ": another command is at work there; wait for it or stop it");
}

void PartsFolder::begin() {
  std::filesystem::create_directories(folder_);
  if (lock_ < 0) {
    claim();
    const std::vector<std::string> names = names_in(folder_);
    ITO_USER_CHECK(std::ranges::none_of(names, [this](const std::string& name) { return is_part(name); }),
                   folder_.string(), ": another command has begun to work there; start again");
  }
  write_json_file(path(kSettings), settings_);
}

std::vector<IndexRange> PartsFolder::parts(int64_t count) const {
  std::vector<IndexRange> all;
  for (const std::string& name : names_in(folder_)) {
    IndexRange part;
    if (!is_part(name, &part)) continue;
    ITO_USER_CHECK(part.first >= 0 && part.count >= 1 && part.first <= count && part.count <= count - part.first,
                   path(name), ": is of no ", names_.item, " of this run; remove the file");
    all.push_back(part);
  }
  std::ranges::sort(all, {}, &IndexRange::first);
  return all;
}

void PartsFolder::extend(IndexRange& part, int64_t n) const {
  const IndexRange more{part.first, part.count + n};
  if (part.count)
    std::filesystem::rename(path(part), path(more));
  else
    write_file_atomically(path(more), "");
  part = more;
}

void PartsFolder::forget_parts() const {
  for (const std::string& name : names_in(folder_))
    if (is_part(name)) std::filesystem::remove(folder_ / name);
}

void PartsFolder::remove() const {
  std::error_code gone;  // what cannot be removed is no reason to fail when the final file stands
  // The settings last: parts without them belong to nobody.
  for (const std::string& name : names_in(folder_))
    if (is_ours(name) && name != kSettings) std::filesystem::remove(folder_ / name, gone);
  std::filesystem::remove(folder_ / kSettings, gone);
  std::filesystem::remove(folder_, gone);
}

std::string text_of(const std::vector<IndexRange>& ranges) {
  Json all = Json::array();
  for (const IndexRange& range : ranges) all.push_back({range.first, range.count});
  return all.dump();
}

std::vector<IndexRange> ranges_of(const std::string& text) {
  std::vector<IndexRange> ranges;
  for (const auto& [first, count] : Json::parse(text).get<std::vector<std::pair<int64_t, int64_t>>>())
    ranges.push_back({first, count});
  return ranges;
}

int64_t items_of(const std::vector<IndexRange>& ranges) {
  int64_t items = 0;
  for (const IndexRange& range : ranges) items += range.count;
  return items;
}

std::vector<IndexRange> missing_of_all(const std::vector<IndexRange>& there, int64_t count) {
  std::vector<IndexRange> gaps;
  int64_t end = 0;
  for (const IndexRange& range : joined(there)) {
    if (range.first > end) gaps.push_back({end, range.first - end});
    end = range.end();
  }
  if (count > end) gaps.push_back({end, count - end});
  return gaps;
}

std::vector<IndexRange> missing_of_rank(const std::vector<IndexRange>& there, int64_t count,
                                        const Communicator& ranks) {
  const std::vector<IndexRange> gaps = missing_of_all(there, count);
  const IndexRange share = share_of_rank(items_of(gaps), ranks.size(), ranks.rank());
  std::vector<IndexRange> own;
  int64_t before = 0;  // items of the gaps before
  for (const IndexRange& gap : gaps) {
    const int64_t first = std::max(share.first - before, int64_t{0}), last = std::min(share.end() - before, gap.count);
    if (first < last) own.push_back({gap.first + first, last - first});
    before += gap.count;
  }
  return own;
}

}  // namespace ito
