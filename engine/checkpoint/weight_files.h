// SPDX-License-Identifier: Apache-2.0
// A model's weights as they stand on disk: one safetensors file, or shards with the index that says which tensor is in
// which (diffusers' *.safetensors.index.json).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"

namespace ito {

class WeightFiles {
 public:
  // path: a safetensors file, or an index. UserError if a shard is missing, or holds other tensors than the index says.
  static WeightFiles open(const std::string& path);

  const std::string& path() const { return path_; }
  std::vector<std::string> names() const;  // sorted by bytes
  bool has(const std::string& name) const { return file_of_.count(name) > 0; }
  const SafetensorsFile::Entry& entry(const std::string& name) const { return file(name).entry(name); }
  std::vector<float> read_floats(const std::string& name) const { return file(name).read_floats(name); }

 private:
  const SafetensorsFile& file(const std::string& name) const { return files_[file_of_.at(name)]; }

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> file_of_;
};

// The weights in a component's folder: the file of the usual name, the index of its shards, or, where there is neither,
// the only variant (diffusion_pytorch_model.fp16.safetensors, say), with a warning. "" where there are none. UserError
// where it is not clear which, or where all there is cannot be read.
std::string find_weights(const std::string& folder);

}  // namespace ito
