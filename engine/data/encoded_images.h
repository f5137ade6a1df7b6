// SPDX-License-Identifier: Apache-2.0
// PNG and JPEG files in a row, wherever they lie: in a folder, in a tar, in a zip.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ito {

class EncodedImages {
 public:
  virtual ~EncodedImages() = default;
  virtual int64_t count() const = 0;
  virtual std::string name(int64_t index) const = 0;         // for errors
  virtual std::string listed_name(int64_t index) const = 0;  // the same wherever the data set was moved to
  virtual uint64_t stored_bytes(int64_t index) const = 0;
  // The file's bytes, in memory of its own or in `room`, where they stay until it is used again. Several threads may
  // ask at once, each with its own room. UserError that names the file.
  virtual std::span<const uint8_t> bytes(int64_t index, std::vector<uint8_t>& room) const = 0;
};

// Files of a folder by their paths, which begin with it.
std::shared_ptr<const EncodedImages> image_files(const std::string& folder, std::vector<std::string> paths);

}  // namespace ito
