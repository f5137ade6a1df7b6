// SPDX-License-Identifier: Apache-2.0
// Every kind of data set through load_dataset, from files written here; Fashion-MNIST itself where it is installed.
#include "engine/data/load_dataset.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "engine/io/cifar.h"
#include "engine/io/image.h"
#include "engine/io/npz.h"
#include "engine/io/safetensors.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

std::string idx_bytes(const std::vector<uint32_t>& shape, const std::string& values) {
  std::string bytes = {0, 0, 8, static_cast<char>(shape.size())};
  for (const uint32_t dimension : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(dimension >> shift);
  return bytes + values;
}

void write_image(const TempFolder& folder, const std::string& name, const Image& image) {
  folder.write(name, "");  // makes the folders above it
  write_png(folder / name, image);
}

// Sets a variable of the environment for the length of a test.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    const char* old = std::getenv(name);
    had_ = old != nullptr;
    if (old) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { had_ ? ::setenv(name_, old_.c_str(), 1) : ::unsetenv(name_); }

 private:
  const char* name_;
  bool had_ = false;
  std::string old_;
};

TEST(Dataset, BytesBecomeMinusOneToOne) {
  Dataset data;
  data.name = "x";
  data.count = 2;
  data.height = 1;
  data.width = 2;
  data.channels = 3;
  data.pixels = {9, 9, 9, 9, 9, 9, 0, 255, 51, 102, 1, 254};
  data.check();
  float image[6];
  data.image_f32(1, false, image);
  // 51 / 127.5 = 0.4 and so on, in fp32.
  const float expected[] = {-1.0f, 1.0f, 51 / 127.5f - 1, 102 / 127.5f - 1, 1 / 127.5f - 1, 254 / 127.5f - 1};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(image[i], expected[i]) << i;
  data.image_f32(1, true, image);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(image[i], expected[(i + 3) % 6]) << i;
  EXPECT_EQ(message_of<Error>([&] { data.image_f32(2, false, image); }), "x: image 2 of 2");
}

TEST(Dataset, FingerprintSeesEveryPart) {
  Dataset data;
  data.count = 3;
  data.height = 2;
  data.width = 1;
  data.channels = 1;
  data.pixels = {1, 2, 3, 4, 5, 6};
  data.labels = {0, 1, 2};
  const uint64_t original = data.fingerprint();
  EXPECT_EQ(data.fingerprint(), original);
  Dataset pixel = data, label = data, shape = data, no_labels = data;
  pixel.pixels[5] ^= 0x80;
  label.labels[2] = 1;
  std::swap(shape.height, shape.width);
  no_labels.labels.clear();
  for (const Dataset& other : {pixel, label, shape, no_labels}) EXPECT_NE(other.fingerprint(), original);
}

TEST(Dataset, IdxWithLabelsBesideIt) {
  TempFolder folder;
  const std::string images = folder.write("my-images-idx3-ubyte", idx_bytes({3, 1, 2}, "abcdef"));
  EXPECT_TRUE(load_dataset(images).labels.empty());
  folder.write("my-labels-idx1-ubyte", idx_bytes({3}, {2, 0, 1}));
  const Dataset data = load_dataset(images);
  EXPECT_EQ(data.count, 3);
  EXPECT_EQ(data.height, 1);
  EXPECT_EQ(data.width, 2);
  EXPECT_EQ(data.channels, 1);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{2, 0, 1}));
  EXPECT_EQ(data.class_count(), 3);
  EXPECT_EQ(std::string(data.pixels.begin(), data.pixels.end()), "abcdef");

  const std::string labels = folder.write("my-labels-idx1-ubyte", idx_bytes({2}, {2, 0}));
  EXPECT_EQ(message_of([&] { load_dataset(images); }), labels + ": holds 2 labels; " + images + " has 3 images");
  EXPECT_EQ(message_of([&] { load_dataset(labels); }),
            labels + ": has one dimension, so it holds labels; give the images file");
}

TEST(Dataset, IdxFolderAndFourDimensions) {
  TempFolder folder;
  folder.write("train-images-idx4-ubyte", idx_bytes({1, 1, 2, 3}, "abcdef"));
  EXPECT_EQ(load_dataset(folder.path()).channels, 3);
  EXPECT_EQ(message_of([&] { load_dataset(folder.path(), {.split = Split::Test}); }),
            folder.path() + ": has no t10k-images-idx3-ubyte (nor .gz)");
  folder.write("t10k-images-idx3-ubyte", idx_bytes({2, 1, 1}, "ab"));
  EXPECT_EQ(load_dataset(folder.path(), {.split = Split::Test}).count, 2);
}

TEST(Dataset, ResolutionAndChannelsAreFitted) {
  TempFolder folder;
  const std::string path =
      folder.write("images", idx_bytes({2, 2, 2}, std::string(4, '\x10') + std::string(4, '\x20')));
  const Dataset data = load_dataset(path, {.height = 4, .width = 4, .channels = 3});
  EXPECT_EQ(data.height, 4);
  EXPECT_EQ(data.width, 4);
  EXPECT_EQ(data.channels, 3);
  std::vector<uint8_t> expected(48, 0x10);
  expected.insert(expected.end(), 48, 0x20);
  EXPECT_EQ(data.pixels, expected);
  EXPECT_EQ(message_of([&] { load_dataset(path, {.channels = 2}); }),
            "data set '" + path + "': 2 channels asked for; 1 (grey) or 3 (RGB) can be had");
  EXPECT_THROW(load_dataset(path, {.height = -1, .width = -1}), UserError);
}

TEST(Dataset, CifarFolderAndFile) {
  TempFolder folder;
  const auto record = [](char label, char value) { return std::string(1, label) + std::string(kCifarPixels, value); };
  folder.write("data_batch_2.bin", record(2, 'b') + record(3, 'c'));
  folder.write("data_batch_1.bin", record(1, 'a'));
  const std::string test = folder.write("test_batch.bin", record(9, 'z'));
  const Dataset train = load_dataset(folder.path());
  EXPECT_EQ(train.labels, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(train.pixels[0], 'a');
  EXPECT_EQ(train.pixels[2 * kCifarPixels], 'c');
  EXPECT_EQ(train.class_names[9], "truck");
  EXPECT_EQ(load_dataset(folder.path(), {.split = Split::Test}).labels, std::vector<int32_t>{9});
  EXPECT_EQ(load_dataset(test, {.height = 8, .width = 8}).pixels, std::vector<uint8_t>(8 * 8 * 3, 'z'));
}

TEST(Dataset, FolderOfImages) {
  TempFolder folder;
  write_image(folder, "b.PNG", Image(4, 6, 1, 20));
  write_image(folder, "a.png", Image(6, 4, 1, 10));
  folder.write("readme.txt", "no image");
  folder.write(".hidden.png", "no image");
  const Dataset data = load_dataset(folder.path(), {.height = 2, .width = 2});
  EXPECT_EQ(data.count, 2);
  EXPECT_EQ(data.channels, 1);
  EXPECT_EQ(data.pixels, (std::vector<uint8_t>{10, 10, 10, 10, 20, 20, 20, 20}));
  EXPECT_TRUE(data.labels.empty());
  EXPECT_EQ(data.class_count(), 0);
  EXPECT_EQ(message_of([&] { load_dataset(folder.path()); }),
            (folder / "b.PNG") + ": is 6x4, the images before it are 4x6; give a resolution to bring them to one size");
  write_image(folder, "c.png", Image(2, 2, 3, 30));
  EXPECT_EQ(message_of([&] { load_dataset(folder.path(), {.height = 2, .width = 2}); }),
            (folder / "c.png") +
                ": has 3 channels, the images before it have 1; ask for 1 or 3 channels to bring them together");
  EXPECT_EQ(load_dataset(folder.path(), {.height = 2, .width = 2, .channels = 3}).pixels.size(), 36u);
}

TEST(Dataset, SubFoldersAreClasses) {
  TempFolder folder;
  write_image(folder, "dog/1.png", Image(2, 2, 1, 1));
  write_image(folder, "cat/2.png", Image(2, 2, 1, 2));
  write_image(folder, "cat/1.png", Image(2, 2, 1, 3));
  folder.write("notes/x.txt", "");
  const Dataset data = load_dataset(folder.path());
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(data.labels, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(data.class_count(), 2);
  EXPECT_EQ(data.pixels[0], 3);
  EXPECT_EQ(data.pixels[8], 1);
  write_image(folder, "top.png", Image(2, 2, 1, 4));
  EXPECT_EQ(message_of([&] { load_dataset(folder.path()); }),
            folder.path() +
                ": has images both directly in it (1) and in sub-folders (3); "
                "with sub-folders as classes every image must be in one");
}

TEST(Dataset, TrainAndTestFoldersAreSplits) {
  TempFolder folder;
  write_image(folder, "train/a/1.png", Image(2, 2, 1, 1));
  write_image(folder, "test/a/1.png", Image(2, 2, 1, 2));
  EXPECT_EQ(load_dataset(folder.path()).pixels[0], 1);
  EXPECT_EQ(load_dataset(folder.path(), {.split = Split::Test}).pixels[0], 2);
  EXPECT_EQ(load_dataset(folder.path()).class_names, std::vector<std::string>{"a"});
}

TEST(Dataset, FolderErrorsNameTheFile) {
  TempFolder folder;
  EXPECT_EQ(message_of([&] { load_dataset(folder.path()); }),
            folder.path() + ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders");
  const std::string bad = folder.write("bad.png", "no image");
  EXPECT_EQ(message_of([&] { load_dataset(folder.path()); }),
            bad + ": is neither a PNG nor a JPEG image (by its first bytes)");
  std::filesystem::remove(bad);
  write_image(folder, "strip.png", Image(1, 100, 1));
  EXPECT_EQ(message_of([&] { load_dataset(folder.path(), {.height = 8, .width = 8}); }),
            (folder / "strip.png") + ": is 100x1, too long to be cut to 8x8; take it out of the data set");
}

TEST(Dataset, SafetensorsFloats) {
  TempFolder folder;
  SafetensorsWriter writer;
  std::vector<float> samples(2 * 3 * 1 * 2);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<float>(i) / 8 - 0.5f;
  writer.add("samples", {2, 3, 1, 2}, samples);
  writer.add_i64("labels", {2}, {4, 0});
  const std::string path = folder / "x.safetensors";
  writer.write(path);
  const Dataset data = load_dataset(path);
  EXPECT_EQ(data.count, 2);
  EXPECT_EQ(data.channels, 3);
  EXPECT_EQ(data.labels, (std::vector<int32_t>{4, 0}));
  EXPECT_EQ(data.class_count(), 5);
  float image[6];
  data.image_f32(1, true, image);
  for (size_t x = 0; x < 2; ++x)
    for (size_t c = 0; c < 3; ++c) EXPECT_EQ(image[x * 3 + c], samples[6 + c * 2 + (1 - x)]);
  EXPECT_EQ(message_of([&] { load_dataset(path, {.height = 4, .width = 4}); }),
            path + ": samples are 1x2 floats, which are not resized; 4x4 was asked for");
  EXPECT_EQ(message_of([&] { load_dataset(path, {.channels = 1}); }),
            path + ": samples have 3 channels of floats, which are not converted; 1 were asked for");
}

TEST(Dataset, SafetensorsBytesAndFaults) {
  TempFolder folder;
  const std::string path = folder / "x.safetensors";
  const auto write = [&](auto add) {
    SafetensorsWriter writer;
    add(writer);
    writer.write(path);
  };
  write([](SafetensorsWriter& w) { w.add_u8("samples", {1, 3, 1, 2}, std::vector<uint8_t>{1, 2, 3, 4, 5, 6}); });
  EXPECT_EQ(load_dataset(path).pixels, (std::vector<uint8_t>{1, 3, 5, 2, 4, 6}));
  write([](SafetensorsWriter& w) { w.add_u8("images", {1}, std::vector<uint8_t>{1}); });
  EXPECT_EQ(message_of([&] { load_dataset(path); }),
            path + ": has no tensor 'samples' of shape (N, C, H, W), so it is no data set");
  write([](SafetensorsWriter& w) { w.add_u8("samples", {1}, std::vector<uint8_t>{1}); });
  EXPECT_EQ(message_of([&] { load_dataset(path); }),
            path + ": tensor 'samples' has 1 dimensions; (N, C, H, W) is expected");
  write([](SafetensorsWriter& w) { w.add("samples", {0, 1, 1, 1}, std::vector<float>{}); });
  EXPECT_EQ(message_of([&] { load_dataset(path); }), path + ": tensor 'samples' has a dimension of 0");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  write([&](SafetensorsWriter& w) { w.add("samples", {2, 1, 1, 1}, std::vector<float>{0, nan}); });
  EXPECT_EQ(message_of([&] { load_dataset(path); }), path + ": tensor 'samples' has a value of nan in image 1");
  write([](SafetensorsWriter& w) {
    w.add("samples", {1, 1, 1, 1}, std::vector<float>{0});
    w.add_i64("labels", {1}, {-1});
  });
  EXPECT_EQ(message_of([&] { load_dataset(path); }), path + ": labels: -1 is not a class (0, 1, 2, ...)");
}

// Floats are real-valued labels, and classes too where all are class numbers; a network gets what it takes, or a line.
TEST(Dataset, LabelsMayBeRealValued) {
  TempFolder folder;
  const std::string path = folder / "x.safetensors";
  const auto with = [&](const std::vector<int64_t>& shape, const std::vector<float>& labels) {
    SafetensorsWriter writer;
    writer.add_u8("samples", {2, 1, 1, 1}, std::vector<uint8_t>{1, 2});
    writer.add("labels", shape, labels);
    writer.write(path);
    return load_dataset(path);
  };
  Dataset data = with({2}, {0.25f, -3});
  EXPECT_EQ(data.label_values, (std::vector<float>{0.25f, -3}));
  EXPECT_TRUE(data.labels.empty());
  const uint64_t fingerprint = data.fingerprint();
  EXPECT_NE(with({2}, {0.25f, -4}).fingerprint(), fingerprint);
  EXPECT_EQ(message_of([&] { data.want_values(3); }), path + ": has labels of 1 numbers an image, the model takes 3");
  data.want_values(1);
  EXPECT_EQ(data.fingerprint(), fingerprint);
  EXPECT_EQ(message_of([&] { data.want_classes(); }),
            path +
                ": has real-valued labels (0.25, ...), the model takes class numbers; give it data with classes, or "
                "a model of class_embed_type timestep or identity");
  data = with({2}, {4, 0});
  EXPECT_EQ(data.class_count(), 5);
  data.want_classes();
  EXPECT_EQ(data.labels, (std::vector<int32_t>{4, 0}));
  EXPECT_EQ(data.label_width, 0);
  data.want_values(1);  // numbers of classes are numbers
  EXPECT_EQ(data.label_values, (std::vector<float>{4, 0}));
  data = with({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(data.label_width, 3);
  EXPECT_EQ(data.label_values[4], 5);
  EXPECT_EQ(data.class_count(), 0);
  EXPECT_EQ(message_of([&] { with({1}, {1}); }),
            path + ": labels has shape [1]; [2] or [2, numbers of an image] is expected");
  EXPECT_EQ(message_of([&] {
              with({2}, {1, INFINITY});
            }),
            path + ": labels: inf is no label; finite numbers are expected");
  Dataset bare;
  bare.name = "bare";
  EXPECT_EQ(message_of([&] { bare.want_values(1); }),
            "bare: has no labels, and the model takes real-valued ones (class_embed_type); give it data with labels");
}

// The same of an npz archive, by the type of its second array.
TEST(Dataset, LabelsOfAnNpzMayBeRealValued) {
  TempFolder folder;
  const std::string path = folder / "x.npz";
  const std::vector<uint8_t> pixels{1, 2};
  const auto with = [&](TensorType type, const std::vector<int64_t>& shape, const auto& labels) {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(labels.data());
    write_npz(path, {{"arr_0", TensorType::U8, {2, 1, 1, 1}, pixels},
                     {"arr_1", type, shape, {bytes, labels.size() * sizeof(labels[0])}}});
    return load_dataset(path);
  };
  Dataset data = with(TensorType::F64, {2}, std::vector<double>{0.25, -3});
  EXPECT_EQ(data.pixels, pixels);
  EXPECT_EQ(data.label_values, (std::vector<float>{0.25f, -3}));
  EXPECT_EQ(data.label_width, 1);
  EXPECT_TRUE(data.labels.empty());
  data.want_values(1);
  data = with(TensorType::F32, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6.5f});
  EXPECT_EQ(data.label_values, (std::vector<float>{1, 2, 3, 4, 5, 6.5f}));
  EXPECT_EQ(data.label_width, 3);
  EXPECT_EQ(data.class_count(), 0);
  data = with(TensorType::F16, {2}, std::vector<uint16_t>{0x4500, 0x3c00});  // 5 and 1: classes, too
  EXPECT_EQ(data.label_values, (std::vector<float>{5, 1}));
  EXPECT_EQ(data.labels, (std::vector<int32_t>{5, 1}));
  data = with(TensorType::I64, {2}, std::vector<int64_t>{4, 0});
  EXPECT_EQ(data.labels, (std::vector<int32_t>{4, 0}));
  EXPECT_EQ(data.label_width, 0);
  EXPECT_EQ(message_of([&] { with(TensorType::F64, {1}, std::vector<double>{1}); }),
            path + ": arr_1 has shape [1]; [2] or [2, numbers of an image] is expected");
  EXPECT_EQ(message_of([&] {
              with(TensorType::F64, {2}, std::vector<double>{1, NAN});
            }),
            path + ": arr_1: nan is no label; finite numbers are expected");
  EXPECT_EQ(message_of([&] {
              with(TensorType::I64, {2, 1}, std::vector<int64_t>{1, 2});
            }),
            path + ": arr_1 has the shape [2, 1]; [2] is expected, a class an image");
}

TEST(Dataset, UnknownNamesAreSaidSo) {
  TempFolder folder;
  EXPECT_EQ(message_of([&] { load_dataset("fashon-mnist"); }),
            "data set 'fashon-mnist': no such name, file or folder; did you mean 'fashion-mnist'?");
  const std::string text = folder.write("x.txt", "hello");
  EXPECT_EQ(message_of([&] { load_dataset(text); }),
            text +
                ": is none of the data sets that can be loaded: fashion-mnist, an IDX file of images or a folder of "
                "them, a packed data set or the .index.json of its shards, a safetensors file with a tensor 'samples', "
                "an .npz file with an array 'arr_0' of bytes, a zip of images, the binary folder or a .bin file of "
                "CIFAR-10 or CIFAR-100, a tar of images, a folder of tars, or shards-{000..012}.tar, a folder of PNG "
                "or JPEG images");
}

TEST(Dataset, FashionMnistFromTheDataFolder) {
  TempFolder folder;
  const Environment environment("ITO_DATA_DIR", folder.path());
  folder.write("fashion-mnist/train-images-idx3-ubyte", idx_bytes({1, 1, 1}, "a"));
  EXPECT_NE(message_of([&] { load_dataset("fashion-mnist"); }).find("labels file is missing"), std::string::npos);
  folder.write("fashion-mnist/train-labels-idx1-ubyte", idx_bytes({1}, {7}));
  const Dataset data = load_dataset("fashion-mnist");
  EXPECT_EQ(data.count, 1);
  EXPECT_EQ(data.class_names[7], "Sneaker");
  if (std::filesystem::exists("/usr/share/datasets/fashion-mnist")) return;
  EXPECT_NE(message_of([&] { load_dataset("fashion-mnist", {.split = Split::Test}); }).find("dataset-fashion-mnist"),
            std::string::npos);
}

TEST(Dataset, TheRealFashionMnist) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "the Debian package dataset-fashion-mnist is not installed";
  const Environment environment("ITO_DATA_DIR", "");
  for (const Split split : {Split::Train, Split::Test}) {
    const Dataset data = load_dataset("fashion-mnist", {.split = split});
    const int per_class = split == Split::Train ? 6000 : 1000;
    EXPECT_EQ(data.count, 10 * per_class);
    EXPECT_EQ(data.height, 28);
    EXPECT_EQ(data.width, 28);
    EXPECT_EQ(data.channels, 1);
    EXPECT_EQ(data.class_names.size(), 10u);
    std::vector<int> histogram(10);
    for (const int32_t label : data.labels) ++histogram.at(static_cast<size_t>(label));
    EXPECT_EQ(histogram, std::vector<int>(10, per_class));
  }
}

}  // namespace
}  // namespace ito
