// SPDX-License-Identifier: Apache-2.0
// Data sets under the names and in the shapes in which they are passed on, and values that mean something else.
#include <gtest/gtest.h>

#include "engine/data/load_dataset.h"
#include "engine/io/cifar.h"
#include "engine/io/safetensors.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/warnings_kept.h"

namespace ito {
namespace {

std::string idx_bytes(const std::vector<uint32_t>& shape, const std::string& values, char type = 8) {
  std::string bytes = {0, 0, type, static_cast<char>(shape.size())};
  for (const uint32_t dimension : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(dimension >> shift);
  return bytes + values;
}

// Images of one value each: n images, the first of value `first`.
std::string idx_images(uint32_t n, char first) {
  std::string values;
  for (uint32_t i = 0; i < n; ++i) values += static_cast<char>(first + static_cast<char>(i));
  return idx_bytes({n, 1, 1}, values);
}

// Names of the sites and of the archives that other libraries unpack, each with its labels.
TEST(DataNames, MnistAndItsRelatives) {
  struct Names {
    const char *images, *labels, *test_images, *data;  // data: what the user names, below the folder
  };
  constexpr Names kTable[] = {
      {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", ""},
      {"train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", ""},
      {"train-images-idx3-ubyte", "train-labels.idx1-ubyte", "test-images-idx3-ubyte", ""},
      {"raw/train-images-idx3-ubyte", "raw/train-labels-idx1-ubyte", "raw/t10k-images-idx3-ubyte", ""},
      {"KMNIST/raw/train-images-idx3-ubyte", "KMNIST/raw/train-labels-idx1-ubyte", "KMNIST/raw/t10k-images-idx3-ubyte",
       ""},
      {"gzip/emnist-digits-train-images-idx3-ubyte", "gzip/emnist-digits-train-labels-idx1-ubyte",
       "gzip/emnist-digits-test-images-idx3-ubyte", ""},
      {"qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int", "qmnist-test-images-idx3-ubyte", ""},
  };
  for (const Names& names : kTable) {
    const WarningsKept warnings;
    TempFolder folder;
    folder.write(names.images, idx_images(3, 10));
    folder.write(names.test_images, idx_images(2, 20));
    const bool wide = std::string(names.labels).ends_with("int");
    folder.write(names.labels,
                 wide ? idx_bytes({3, 1}, {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1}, 12) : idx_bytes({3}, {2, 0, 1}));
    const std::string data = folder / names.data;
    EXPECT_EQ(load_dataset(data).pixels, (std::vector<uint8_t>{10, 11, 12})) << names.images;
    EXPECT_EQ(load_dataset(data).labels, (std::vector<int32_t>{2, 0, 1})) << names.images;
    EXPECT_EQ(load_dataset(data, {.split = Split::Test}).pixels, (std::vector<uint8_t>{20, 21})) << names.images;
    EXPECT_EQ(WarningsKept::all().empty(), std::string(names.images).find("emnist-") == std::string::npos);
  }
}

TEST(DataNames, SeveralSetsAreNotGuessedFrom) {
  TempFolder folder;
  folder.write("emnist-letters-train-images-idx3-ubyte", idx_images(1, 1));
  folder.write("emnist-digits-train-images-idx3-ubyte", idx_images(1, 2));
  EXPECT_EQ(message_of([&] { load_dataset(folder.path()); }),
            folder.path() +
                ": holds several sets of images, emnist-digits-train and emnist-letters-train; give the path of one, "
                "such as " +
                (folder / "emnist-digits-train-images-idx3-ubyte"));
  TempFolder two;
  two.write("MNIST/raw/train-images-idx3-ubyte", idx_images(1, 1));
  two.write("KMNIST/raw/train-images-idx3-ubyte", idx_images(1, 1));
  EXPECT_EQ(message_of([&] { load_dataset(two.path()); }), two.path() + ": holds several data sets, " +
                                                               (two / "MNIST/raw") + " and " + (two / "KMNIST/raw") +
                                                               "; give one of those folders");
}

TEST(DataNames, CifarHundred) {
  TempFolder folder;
  const auto record = [](char coarse, char fine, char value) {
    return std::string{coarse, fine} + std::string(kCifarPixels, value);
  };
  folder.write("cifar-100-binary/train.bin", record(1, 70, 'a') + record(2, 3, 'b'));
  folder.write("cifar-100-binary/test.bin", record(3, 99, 'c'));
  std::string names;
  for (int i = 0; i < 100; ++i) names += "thing " + std::to_string(i) + "\r\n";
  folder.write("cifar-100-binary/fine_label_names.txt", names);
  for (const std::string& data : {folder / "cifar-100-binary", folder.path(), folder / "cifar-100-binary/train.bin"}) {
    const Dataset train = load_dataset(data);
    EXPECT_EQ(train.labels, (std::vector<int32_t>{70, 3})) << data;
    EXPECT_EQ(train.pixels[kCifarPixels], 'b') << data;
    EXPECT_EQ(train.class_names.at(70), "thing 70") << data;
  }
  EXPECT_EQ(load_dataset(folder.path(), {.split = Split::Test}).labels, std::vector<int32_t>{99});
}

TEST(DataNames, OtherVersionsOfCifarAreNamed) {
  for (const std::vector<std::string>& files : std::vector<std::vector<std::string>>{
           {"data_batch_1", "batches.meta"}, {"train", "meta"}, {"data_batch_1.mat"}}) {
    TempFolder folder;
    for (const std::string& name : files) folder.write(name, "\x80\x02");
    EXPECT_EQ(message_of([&] { load_dataset(folder.path()); }),
              folder.path() +
                  ": is a version of CIFAR for Python or MATLAB, of which the former can run code when it is read; get "
                  "the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)");
  }
}

TEST(DataNames, ForeignFilesAreNamed) {
  TempFolder folder;
  const auto told = [&](const std::string& name, const std::string& bytes) {
    const std::string path = folder.write(name, bytes);
    const std::string text = message_of([&] { load_dataset(path); });
    EXPECT_EQ(text.substr(0, path.size()), path);
    return text.substr(std::min(path.size(), text.size()));
  };
  EXPECT_EQ(told("a.tar.gz", "\x1f\x8b..."), ": is a gzip file; unpack it and give the folder");
  EXPECT_EQ(told("a.npy", "\x93NUMPY\1"),
            ": is a NumPy array; write its images as PNG files, or as `samples` of a safetensors file");
  EXPECT_EQ(told("a.png", "\x89PNG\r\n"), ": is one PNG image; give the folder of images");
  EXPECT_EQ(told("a.dat", "nothing").substr(0, 27), ": is none of the data sets ");
}

std::string write_floats(const TempFolder& folder, const std::vector<float>& values, int channels = 1) {
  SafetensorsWriter writer;
  writer.add("samples", {static_cast<int64_t>(values.size()) / channels, channels, 1, 1}, values);
  const std::string path = folder / "x.safetensors";
  writer.write(path);
  return path;
}

TEST(DataValues, FloatsOutsideTheirRange) {
  TempFolder folder;
  const WarningsKept warnings;
  const auto told = [&](const std::vector<float>& values, int channels = 1) {
    WarningsKept::all().clear();
    const std::string path = write_floats(folder, values, channels);
    load_dataset(path);
    return WarningsKept::all().empty() ? "" : WarningsKept::all()[0].substr(path.size());
  };
  EXPECT_EQ(told({-1, 1}), "");
  EXPECT_EQ(told({-1.005f, 1.005f}), "");
  EXPECT_EQ(told({-1, 1.5f}),
            ": its values are -1 to 1.5, outside of [-1, 1]; sampling clips to that range unless the scheduler's "
            "clip_sample is false");
  EXPECT_EQ(told({0, 1}),
            ": its values are 0 to 1; images of floats are expected in [-1, 1], where 0 is grey: multiply by 2 and "
            "subtract 1");
  EXPECT_EQ(told({0.25f, 0.25f}), "");
  EXPECT_NE(told({0, 3, 1, 2}, 2), "");  // two channels are no picture: told of, not refused
  const std::string never_scaled = write_floats(folder, {0, 200});
  EXPECT_EQ(message_of([&] { load_dataset(never_scaled); }),
            never_scaled +
                ": its values are 0 to 200; images of floats are expected in [-1, 1]: divide by 127.5 and subtract 1, "
                "or store them as U8");
}

TEST(DataValues, BytesThatAreAllButBlack) {
  TempFolder folder;
  const WarningsKept warnings;
  load_dataset(folder.write("masks-idx3", idx_bytes({4, 1, 1}, {0, 1, 1, 0})));
  load_dataset(folder.write("black-idx3", idx_bytes({2, 1, 1}, {0, 0})));
  load_dataset(folder.write("dark-idx3", idx_bytes({2, 1, 1}, {0, 2})));
  EXPECT_EQ(WarningsKept::all(),
            (std::vector<std::string>{(folder / "masks-idx3") +
                                          ": every value is 0 or 1, where 255 is white: the images are all but black; "
                                          "multiply them by 255",
                                      (folder / "black-idx3") + ": every value is 0: all images are black"}));
}

TEST(DataValues, WholeNumbersAreNoFloats) {
  TempFolder folder;
  for (const TensorType type : {TensorType::I64, TensorType::I32, TensorType::I8, TensorType::BOOL}) {
    SafetensorsWriter writer;
    const std::vector<uint8_t> bytes(size_of(type), 0);
    writer.add_raw("samples", type, {1, 1, 1, 1}, bytes);
    const std::string path = folder / "x.safetensors";
    writer.write(path);
    EXPECT_EQ(message_of([&] { load_dataset(path); }),
              path + ": tensor 'samples' is " + name_of(type) + "; expected U8, 0 to 255, or floats in [-1, 1]");
  }
}

}  // namespace
}  // namespace ito
