// SPDX-License-Identifier: Apache-2.0
// What a long command has done so far, in OUT/parts: parts are runs of its items, named by them, and settings.json says
// all that the numbers depend on. The same command goes on from there after it was ended, however that came; the folder
// goes away when the final files stand.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/json_file.h"
#include "engine/ranks/subtrees.h"
#include "kernels/seams/comm.h"

namespace ito {

class PartsFolder {
 public:
  struct Names {
    std::string item, suffix;        // a part is ITEM-<first>+<count>SUFFIX
    std::vector<std::string> files;  // others that a command keeps there
  };
  // settings: by the name of the flag, or in words for what has none. UserError if the folder holds parts of others.
  PartsFolder(const std::string& out, Names names, Json settings);
  ~PartsFolder();
  PartsFolder(const PartsFolder&) = delete;
  PartsFolder& operator=(const PartsFolder&) = delete;

  // For one process of a run, the first rank's, before it looks at what is there: no other command works there until
  // this object ends. UserError where one does.
  void claim();
  void begin();  // makes the folder, claimed if it was not there to be claimed
  // Of items 0 .. count-1, in their order. UserError for a part of others.
  std::vector<IndexRange> parts(int64_t count) const;
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string path(const IndexRange& part) const { return path(name_of(part)); }
  // A part that is a name alone, of items that stand elsewhere, becomes one of n more items, or begins to be. At no
  // moment is there less than was.
  void extend(IndexRange& part, int64_t n) const;
  void forget_parts() const;  // what they stood for is gone
  void remove() const;

 private:
  std::string name_of(const IndexRange& part) const;
  bool is_part(const std::string& name, IndexRange* part = nullptr) const;
  bool is_ours(const std::string& name) const;
  void check_settings() const;

  std::filesystem::path folder_;
  Names names_;
  Json settings_;
  int lock_ = -1;  // the folder itself, open
};

// Parts from one rank's memory to all.
std::string text_of(const std::vector<IndexRange>& ranges);
std::vector<IndexRange> ranges_of(const std::string& text);

// Of `count` items those that `there` leaves out, in order; and of these in a row the share of one rank, where the
// first has some if any has.
std::vector<IndexRange> missing_of_all(const std::vector<IndexRange>& there, int64_t count);
std::vector<IndexRange> missing_of_rank(const std::vector<IndexRange>& there, int64_t count, const Communicator& ranks);
int64_t items_of(const std::vector<IndexRange>& ranges);  // in all, where no two overlap

}  // namespace ito
