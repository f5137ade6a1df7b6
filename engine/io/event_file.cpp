// SPDX-License-Identifier: Apache-2.0
// See event_file.h. A protobuf message is its fields one after another: number and kind, then the value.
#include "engine/io/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/io/atomic_file.h"
#include "engine/io/crc32c.h"

namespace ito {
namespace {

enum Kind : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };  // of a field
// Numbers of fields, by message.
enum EventField : uint32_t { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7 };
constexpr uint32_t kSummaryValue = 1, kSessionStatus = 1, kSessionStart = 1;
enum ValueField : uint32_t { kTag = 1, kSimpleValue = 2, kImage = 4 };
enum ImageField : uint32_t { kImageHeight = 1, kImageWidth = 2, kColourspace = 3, kEncoded = 4 };
constexpr const char* kVersion = "brain.Event:2";
constexpr uint32_t kMask = 0xa282ead8u;  // of a checksum, besides a turn by 15 bits

template <class T>
std::string little_endian(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value > 0x7f; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string key(uint32_t field, Kind kind) {
  return varint(uint64_t{field} << 3 | kind);
}
std::string number(uint32_t field, int64_t value) {
  return key(field, kVarint) + varint(static_cast<uint64_t>(value));
}
std::string bytes(uint32_t field, const std::string& value) {
  return key(field, kBytes) + varint(value.size()) + value;
}

std::string checksum(const std::string& data) {
  return little_endian(std::rotr(crc32c(data), 15) + kMask);
}

}  // namespace

EventFile::EventFile(const std::string& path, double wall_time, int64_t from_step) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_on_file(path, "cannot be created", errno);
  append(wall_time, 0, bytes(kFileVersion, kVersion));
  append(wall_time, from_step, bytes(kSessionLog, number(kSessionStatus, kSessionStart)));
}

EventFile::~EventFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void EventFile::append(double wall_time, int64_t step, const std::string& fields) {
  const std::string event = key(kWallTime, kFixed64) + little_endian(wall_time) + number(kStep, step) + fields;
  const std::string length = little_endian<uint64_t>(event.size());
  const std::string record = length + checksum(length) + event + checksum(event);
  for (size_t done = 0; done < record.size();) {
    const ssize_t written = ::write(descriptor_, record.data() + done, record.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_on_file(path_, "writing failed", errno);
    done += static_cast<size_t>(written);
  }
}

void EventFile::scalars(double wall_time, int64_t step, const std::vector<Scalar>& values) {
  std::string summary;
  for (const auto& [tag, value] : values)
    summary +=
        bytes(kSummaryValue, bytes(kTag, tag) + key(kSimpleValue, kFixed32) + little_endian(static_cast<float>(value)));
  append(wall_time, step, bytes(kSummary, summary));
}

void EventFile::picture(double wall_time, int64_t step, const std::string& tag, const Picture& picture) {
  const std::string image = number(kImageHeight, picture.height) + number(kImageWidth, picture.width) +
                            number(kColourspace, picture.channels) + bytes(kEncoded, picture.png);
  append(wall_time, step, bytes(kSummary, bytes(kSummaryValue, bytes(kTag, tag) + bytes(kImage, image))));
}

}  // namespace ito
