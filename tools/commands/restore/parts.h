// SPDX-License-Identifier: Apache-2.0
// What a run of `ito restore` has restored so far, in OUT/parts: a file for each group of measurements, and
// settings.json with all that the numbers depend on. A run that was ended goes on from there; the folder goes away when
// the final file stands.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/io/json_file.h"
#include "engine/io/layout.h"

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
  // settings: by the name of the flag, or in words for what has none. UserError if the folder holds parts of others.
  RestoreParts(const std::string& out, Json settings);

  // Fills in what is there; returns for each measurement whether it is.
  std::vector<bool> load(RestoredImages& images) const;
  void begin() const;  // makes the folder
  void add(const RestoredImages& images, int64_t at, int64_t n) const;
  void read(RestoredImages& images, int64_t at, int64_t n) const;  // what another process has added
  void remove() const;

 private:
  void check_settings() const;

  std::filesystem::path folder_;
  Json settings_;
};

}  // namespace ito
