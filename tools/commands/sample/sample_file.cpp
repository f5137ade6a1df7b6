// SPDX-License-Identifier: Apache-2.0
// See sample_file.h.
#include "tools/commands/sample/sample_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "engine/io/atomic_file.h"
#include "engine/io/atomic_folder.h"
#include "kernels/error.h"
#include "kernels/types.h"

namespace ito {
namespace {

constexpr const char *kSamples = "samples", *kLabels = "labels";

}  // namespace

SampleFile::SampleFile(const std::string& path, int64_t count, const ImageShape& image, SampleFacts beside)
    : path_(path), count_(count), image_(image), beside_(std::move(beside)) {
  layout_.add_elsewhere(kSamples, TensorType::F32, {count, image.channels, image.height, image.width});
  if (beside_.class_of) layout_.add_elsewhere(kLabels, TensorType::I64, {count});
  if (!beside_.values.empty()) layout_.add_elsewhere(kLabels, TensorType::F32, label_shape());
  if (beside_.latents)
    for (const auto& [name, numbers] : latent_tensors(*beside_.latents))
      layout_.add_elsewhere(name, TensorType::F32, {static_cast<int64_t>(numbers.size())});
  places_ = layout_.places(path);
}

SampleFile::~SampleFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::vector<int64_t> SampleFile::label_shape() const {
  if (beside_.label_width == 1) return {count_};
  return {count_, beside_.label_width};
}

std::string SampleFile::beginning() const {
  std::string text;
  layout_.for_each_part(
      path_, [&](uint64_t, const void* data, size_t bytes) { text.append(static_cast<const char*>(data), bytes); });
  return text;
}

uint64_t SampleFile::place_of(int64_t index) const {
  return places_.of.at(kSamples) + sizeof(float) * static_cast<uint64_t>(index * image_.size());
}

bool SampleFile::is_there() const {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path_, none) || std::filesystem::file_size(path_, none) != places_.end)
    return false;
  const std::string expected = beginning();
  const std::vector<uint8_t> found = read_file_start(path_, expected.size());
  return std::string(found.begin(), found.end()) == expected;
}

void SampleFile::create() {
  const int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_on_file(path_, "cannot be created", errno);
  // Room for all of it now, and not missed after hours. A file system that cannot promise any gives it as it goes.
  const auto bytes = static_cast<off_t>(places_.end);
  int error = ::fallocate(descriptor, 0, 0, bytes) == 0 ? 0 : errno;
  if (error == EOPNOTSUPP || error == ENOSYS) error = ::ftruncate(descriptor, bytes) == 0 ? 0 : errno;
  const std::string text = beginning();
  const auto put = [&](uint64_t place, const void* data, size_t size) {
    if (!error) error = write_at(descriptor, place, data, size);
  };
  put(0, text.data(), text.size());
  const std::vector<float>& values = beside_.values;
  if (!values.empty()) put(places_.of.at(kLabels), values.data(), values.size() * sizeof(float));
  if (beside_.latents)
    for (const auto& [name, numbers] : latent_tensors(*beside_.latents))
      put(places_.of.at(name), numbers.data(), numbers.size() * sizeof(float));
  ::close(descriptor);
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  fail_on_file(join_text(path_, ", of ", ceil_div(static_cast<int64_t>(places_.end), 1 << 20), " MiB"),
               "cannot be made", error);
}

void SampleFile::open() {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  ITO_USER_CHECK(descriptor_ >= 0, path_, ": made by the first rank, cannot be opened here: ", std::strerror(errno),
                 "; choose a folder that all hosts reach by the same name");
}

void SampleFile::write(int64_t at, int64_t n, const std::vector<float>& images) {
  const std::vector<float> planar = to_planar(images, n, image_);
  int error = write_at(descriptor_, place_of(at), planar.data(), planar.size() * sizeof(float));
  if (beside_.class_of && !error) {
    std::vector<int64_t> labels;
    for (int64_t i = at; i < at + n; ++i) labels.push_back(beside_.class_of(i));
    error = write_at(descriptor_, places_.of.at(kLabels) + sizeof(int64_t) * static_cast<uint64_t>(at), labels.data(),
                     labels.size() * sizeof(int64_t));
  }
  if (!error && ::fdatasync(descriptor_) != 0) error = errno;
  if (error) fail_on_file(path_, "writing failed", error);
}

std::vector<float> SampleFile::read(int64_t at, int64_t n) const {
  std::vector<float> planar(static_cast<size_t>(n * image_.size()));
  InputFile(path_).read_at(place_of(at), planar.data(), planar.size() * sizeof(float));
  return to_interleaved(planar, n, image_);
}

void SampleFile::put_in_place(const std::string& path) {
  if (::fsync(descriptor_) != 0) fail_on_file(path_, "writing failed", errno);
  // Renaming over a symbolic link would replace the link, not the file it points to.
  std::error_code none;
  const bool linked = std::filesystem::is_symlink(path, none) && std::filesystem::exists(path, none);
  const std::string target = linked ? std::filesystem::canonical(path).string() : path;
  if (std::rename(path_.c_str(), target.c_str()) != 0)
    fail_on_file(join_text(path, ": ", path_, " is whole"), "cannot be put in its place", errno);
  sync_folder(std::filesystem::path(target).parent_path());
}

}  // namespace ito
