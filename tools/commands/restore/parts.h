// SPDX-License-Identifier: Apache-2.0
// What a run of `ito restore` has restored so far: a file for each group of measurements (parts_folder.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/layout.h"
#include "tools/commands/parts_folder.h"

namespace ito {

// Of measurements of a run, all or some, in planes as files have them.
struct RestoredImages {
  RestoredImages(int64_t count_, int draws_, const ImageShape& image_, int64_t first_ = 0);
  int64_t first, count;  // of the run's measurements
  int draws;
  ImageShape image;
  std::vector<float> samples;          // (count draws, C, H, W), measurement by measurement
  std::vector<float> mean, deviation;  // (count, C, H, W)

  // Measurements at .. at+n-1 of the run, from and to tensors of their own names.
  void write(const std::string& path, int64_t at, int64_t n) const;
  void read(const std::string& path, int64_t at, int64_t n);
};

class RestoreParts {
 public:
  // As PartsFolder has it.
  RestoreParts(const std::string& out, Json settings);

  // For the first rank. Fills in what is there; returns which measurements that is.
  std::vector<IndexRange> load(RestoredImages& images);
  void begin() { folder_.begin(); }
  void add(const RestoredImages& images, int64_t at, int64_t n) const;
  void read(RestoredImages& images, const IndexRange& part) const;  // what another process has added
  void remove() const { folder_.remove(); }

 private:
  PartsFolder folder_;
};

}  // namespace ito
