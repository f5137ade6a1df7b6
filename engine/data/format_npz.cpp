// SPDX-License-Identifier: Apache-2.0
// An .npz file as a data set, as published reference batches and guided-diffusion's samples are: `arr_0`, U8
// (N, H, W, C), and, where it is there, `arr_1`: (N), whole numbers, the classes, or real-valued labels, (N) or (N, D).
#include <limits>

#include "engine/data/file_tree.h"
#include "engine/data/load_dataset.h"
#include "engine/io/npz.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kImages = "arr_0", *kLabels = "arr_1";
constexpr int kCopies = 2;  // as it is unpacked, its header in front of it, and without

bool is_npz(const std::string& what) {
  return what.ends_with(".npz") && is_file(what);
}

void read_labels(const NpzFile& file, Dataset& data) {
  if (is_float(file.header(kLabels).type)) {
    const std::vector<double> values = file.read_doubles(kLabels);
    return take_label_values(data, file.header(kLabels).shape, {values.begin(), values.end()},
                             join_text(file.path(), ": ", kLabels));
  }
  const std::vector<int64_t> shape = file.header(kLabels).shape;
  ITO_USER_CHECK(shape == std::vector<int64_t>{data.count}, file.path(), ": ", kLabels, " has the shape ",
                 shape_text(shape), "; [", data.count, "] is expected, a class an image");
  for (const int64_t label : file.read_whole_numbers(kLabels)) {
    ITO_USER_CHECK(label >= 0 && label < std::numeric_limits<int32_t>::max(), file.path(), ": ", kLabels, ": ", label,
                   " is not a class (0, 1, 2, ...)");
    data.labels.push_back(static_cast<int32_t>(label));
  }
}

Dataset load_npz(const std::string& what, const LoadOptions& options) {
  const NpzFile file = NpzFile::open(what);
  ITO_USER_CHECK(file.has(kImages), what, ": has no array ", kImages, " of shape (N, H, W, C), so it is no data set");
  const NpyHeader header = file.header(kImages);
  const std::vector<int64_t>& shape = header.shape;
  ITO_USER_CHECK(shape.size() == 4, what, ": ", kImages, " has ", shape.size(),
                 " dimensions; images (N, H, W, C) are expected");
  for (const int64_t dimension : shape)
    ITO_USER_CHECK(dimension > 0 && dimension <= std::numeric_limits<int>::max(), what, ": ", kImages,
                   " has a dimension of ", dimension);
  ITO_USER_CHECK(shape[3] == 1 || shape[3] == 3, what, ": ", kImages, " has ", shape[3],
                 " channels; 1 or 3 are expected, in the last dimension");
  ITO_USER_CHECK(header.type == TensorType::U8, what, ": ", kImages, " holds ", name_of(header.type),
                 "; expected U8, 0 black and 255 white");
  Dataset data;
  data.name = what;
  data.count = static_cast<int>(shape[0]);
  data.height = static_cast<int>(shape[1]);
  data.width = static_cast<int>(shape[2]);
  data.channels = static_cast<int>(shape[3]);
  check_data_memory(what, data.count, static_cast<size_t>(data.image_size()), kCopies, options);
  if (file.has(kLabels)) read_labels(file, data);
  data.pixels = file.read_bytes(kImages);
  fit_to_options(data, options);
  return data;
}

}  // namespace

extern const DatasetFormat kNpzFormat;
const DatasetFormat kNpzFormat = {"an .npz file with an array 'arr_0' of bytes", is_npz, load_npz};

}  // namespace ito
