// SPDX-License-Identifier: Apache-2.0
// A TensorBoard event file: TFRecords (u64 length, its checksum, the bytes, theirs; checksums are CRC-32C, turned and
// shifted so that a file of records may be a record), each a protobuf message Event of
// tensorflow/core/util/event.proto. The four messages that are needed are a page (event_file.cpp), and are written by
// hand: their library would bring a compiler of its own into the build.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ito {

class EventFile {
 public:
  // A new file, whose name has `tfevents` in it. wall_time, here and below: seconds since 1970, for the eye alone.
  // from_step: what earlier files of the folder hold of this step and later ones is void (SessionLog START).
  EventFile(const std::string& path, double wall_time, int64_t from_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  using Scalar = std::pair<std::string, double>;  // tag, value; kept as fp32
  void scalars(double wall_time, int64_t step, const std::vector<Scalar>& values);
  // png: the file's bytes. channels: 1 or 3.
  struct Picture {
    int height, width, channels;
    std::string png;
  };
  void picture(double wall_time, int64_t step, const std::string& tag, const Picture& picture);

 private:
  // fields: those of the Event besides its time and step. Error where it cannot be written; a record that a killed
  // process left in part is passed over by those who read.
  void append(double wall_time, int64_t step, const std::string& fields);

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace ito
