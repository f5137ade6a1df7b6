// SPDX-License-Identifier: Apache-2.0
// Images read by threads: the same data, and the same first fault, by any number of them; and the same images and
// labels from every form that a data set may have.
#include "engine/data/read_images.h"

#include <gtest/gtest.h>

#include "engine/data/pack.h"
#include "engine/io/image.h"
#include "engine/io/json_file.h"
#include "engine/io/layout.h"
#include "engine/io/safetensors.h"
#include "tests/engine/io/archive_bytes.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/warnings_kept.h"

namespace ito {
namespace {

void expect_same_images(const Dataset& data, const Dataset& want, const std::string& what) {
  ASSERT_EQ(data.count, want.count) << what;
  ASSERT_EQ(data.image_size(), want.image_size()) << what;
  EXPECT_EQ(data.height, want.height) << what;
  EXPECT_EQ(data.labels, want.labels) << what;
  std::vector<uint8_t> image(static_cast<size_t>(data.image_size())), other(image.size());
  std::vector<float> floats(image.size()), other_floats(image.size());
  for (int i = 0; i < data.count; ++i) {
    data.image_bytes(i, image.data());
    want.image_bytes(i, other.data());
    EXPECT_EQ(image, other) << what << ", image " << i;
    data.image_f32(i, i % 2, floats.data());
    want.image_f32(i, i % 2, other_floats.data());
    EXPECT_EQ(floats, other_floats) << what << ", image " << i;
  }
}

TEST(ReadImages, AreTheSameByAnyNumberOfThreads) {
  TempFolder folder;
  std::vector<std::string> paths;
  for (int i = 0; i < 23; ++i) {
    paths.push_back(folder / ("image-" + std::to_string(100 + i) + ".png"));
    Image image(5, 4, 3, static_cast<uint8_t>(i));
    image.at(i % 5, i % 4, i % 3) = 200;
    write_png(paths.back(), image);
  }
  LoadProgress progress;
  Dataset alone;
  read_images(image_files(folder.path(), paths), {.threads = 1, .progress = &progress}, alone);
  EXPECT_EQ(alone.count, 23);
  EXPECT_EQ(alone.pixels[22 * 60 + 59], 22);
  EXPECT_EQ(progress.done, 23);
  EXPECT_EQ(progress.total, 23);
  for (const int threads : {0, 2, 5, 64}) {
    Dataset data;
    read_images(image_files(folder.path(), paths), {.threads = threads}, data);
    EXPECT_EQ(data.pixels, alone.pixels) << threads;
  }
}

// Whichever thread comes upon a fault first, the one in front is told.
TEST(ReadImages, TheFirstFaultIsTold) {
  TempFolder folder;
  std::vector<std::string> paths;
  for (int i = 0; i < 12; ++i) {
    paths.push_back(folder / (std::to_string(10 + i) + ".png"));
    write_png(paths.back(), Image(40, 40, 1, 9));
  }
  folder.write("16.png", "damaged");
  for (int i = 17; i < 22; ++i) folder.write(std::to_string(i) + ".png", "damaged too");
  for (int round = 0; round < 20; ++round) {
    Dataset data;
    EXPECT_EQ(message_of([&] { read_images(image_files(folder.path(), paths), {.threads = 4}, data); }),
              paths[6] + ": is neither a PNG nor a JPEG image (by its first bytes)");
  }
}

TEST(ReadImages, AreFetchedOneByOneWhereTheMemoryIsShort) {
  TempFolder folder;
  for (int i = 0; i < 3; ++i) write_png(folder / (std::to_string(i) + ".png"), Image(600, 800, 3, 77));
  const Dataset held = load_dataset(folder.path(), {.memory_limit = size_t{5} << 20});
  EXPECT_FALSE(held.source);
  const Dataset fetched = load_dataset(folder.path(), {.memory_limit = size_t{4} << 20});
  EXPECT_TRUE(fetched.source);
  EXPECT_EQ(fetched.bytes(), 0u);
  expect_same_images(fetched, held, "fetched");
  // One of another shape is met when it is asked for, and what stands beside the room for it is left alone.
  write_png(folder / "3.png", Image(600, 801, 3, 77));
  const Dataset odd = load_dataset(folder.path(), {.stream = true});
  std::vector<uint8_t> image(600 * 801 * 3, 5);
  EXPECT_EQ(message_of([&] { odd.image_bytes(3, image.data()); }),
            (folder / "3.png") +
                ": is 801x600, the images before it are 800x600; give a resolution to bring them to one size");
  EXPECT_EQ(image, std::vector<uint8_t>(image.size(), 5));
}

// Files of one name and length are told apart by what is in them.
TEST(ReadImages, AreKnownByTheirBytes) {
  TempFolder folder;
  const auto fingerprint = [&](uint8_t grey) {
    write_png(folder / "0.png", Image(2, 2, 1, grey));
    return load_dataset(folder.path(), {.stream = true}).fingerprint();
  };
  const uint64_t before = fingerprint(100);
  const auto size = std::filesystem::file_size(folder / "0.png");
  EXPECT_NE(fingerprint(101), before);
  EXPECT_EQ(std::filesystem::file_size(folder / "0.png"), size);
  EXPECT_EQ(fingerprint(100), before);
}

// ---- the same images by every way of keeping them

constexpr int kImages = 7;
const std::vector<std::string> kNames{"cat/b.png", "cat/deep/a.jpg", "cat/z.png", "dog/1.png",
                                      "dog/2.png", "dog/3.jpg",      "emu/x.png"};
const std::vector<int32_t> kLabels{0, 0, 0, 1, 1, 1, 2};

// The files' bytes; all of one size but the first, so that they have to be resized.
std::vector<std::string> encoded_images() {
  std::vector<std::string> files;
  for (int i = 0; i < kImages; ++i) {
    Image image(6 + (i == 0), 5, 3);
    for (size_t k = 0; k < image.pixels.size(); ++k) image.pixels[k] = static_cast<uint8_t>(37 * i + 11 * k);
    const std::vector<uint8_t> png = encode_png(image);
    files.emplace_back(png.begin(), png.end());
  }
  return files;
}

struct Forms {
  TempFolder folder;
  std::vector<std::string> paths;  // of data sets
  std::string images = folder / "images";

  Forms() {
    const std::vector<std::string> files = encoded_images();
    std::vector<TarFile> all, half[2], samples, edm;
    std::vector<ZipMember> members;
    Json labels = Json::array();
    for (int i = 0; i < kImages; ++i) {
      folder.write("images/" + kNames[i], files[i]);
      all.insert(all.begin(), {"./" + kNames[i], files[i]});  // in another order than they are sorted in
      half[i % 2].push_back({kNames[i], files[i]});
      members.push_back(i % 2 ? stored("top/" + kNames[i], files[i]) : stored("top/" + kNames[i], files[i]));
      if (i % 2) members.back().packed = deflated(files[i]), members.back().method = 8;
      const std::string key = "shard/" + std::to_string(1000 + i);
      samples.push_back({key + ".cls", std::to_string(kLabels[i]) + "\n"});
      samples.push_back({key + ".jpeg", files[i]});
      samples.push_back({key + ".txt", "a caption"});
      edm.push_back({"00000/img" + std::to_string(1000 + i) + ".png", files[i]});
      labels.push_back({edm.back().name, kLabels[i]});
    }
    edm.push_back({"dataset.json", Json{{"labels", labels}}.dump()});
    std::vector<ZipMember> edm_zip;
    for (const TarFile& file : edm) edm_zip.push_back(stored(file.name, file.bytes));
    folder.write("halves/part-00.tar", tar(half[0]));
    folder.write("halves/part-01.tar", tar(half[1]));
    folder.write("wds/0.tar", tar({samples.begin(), samples.begin() + 6}));
    folder.write("wds/1.tar", tar({samples.begin() + 6, samples.end()}));
    for (const TarFile& file : edm) folder.write("edm/" + file.name, file.bytes);
    paths = {images,
             folder.write("all.tar", tar(all)),
             folder / "halves",
             folder / "halves/part-{00..01}.tar",
             folder / "halves/*.tar",
             folder / "wds/{0,1}.tar",
             folder.write("images.zip", zip(members)),
             folder.write("edm.zip", zip(edm_zip)),
             folder / "edm"};
    const Dataset data = load_dataset(images, {.height = 6, .width = 4, .channels = 3, .stream = true});
    for (const int shards : {1, 3}) {  // two images at a time, of which 7, 3 and 2 leave some over or none
      const std::string name = folder / join_text("packed", shards, ".safetensors");
      paths.push_back(
          pack_dataset(data, {.path = name, .shards = shards, .threads = 2, .stretch_bytes = 2 * 6 * 4 * 3 + 1}).path);
    }
    paths.push_back(folder / "packed3-00002-of-00003.safetensors");
  }
};

TEST(Forms, AllHaveTheSameImages) {
  const WarningsKept warnings;
  const Forms forms;
  const LoadOptions options{.height = 6, .width = 4, .channels = 3};
  const Dataset want = load_dataset(forms.images, options);
  ASSERT_EQ(want.labels, kLabels);
  for (const std::string& path : forms.paths) {
    if (path == forms.paths.back()) continue;  // a part of them
    for (const bool stream : {false, true}) {
      LoadOptions how = options;
      how.stream = stream;
      const Dataset data = load_dataset(path, how);
      const bool mapped = path.find("packed") != std::string::npos;
      EXPECT_EQ(data.source != nullptr, stream || mapped) << path;
      expect_same_images(data, want, path);
      EXPECT_EQ(data.pixels.empty() && !mapped ? want.fingerprint() : data.fingerprint(), want.fingerprint()) << path;
      EXPECT_TRUE(data.answers_to(want.fingerprint())) << path;
      EXPECT_FALSE(data.answers_to(want.fingerprint() + 1)) << path;
      EXPECT_TRUE(want.answers_to(load_dataset(forms.images, how).fingerprint())) << "in memory or not";
      if (mapped) {
        EXPECT_TRUE(data.answers_to(want.listing_hash)) << path;
      }
      const bool named = path.find("wds") == std::string::npos && path.find("edm") == std::string::npos;
      EXPECT_EQ(data.class_names, named ? want.class_names : std::vector<std::string>{}) << path;
    }
  }
  const Dataset part = load_dataset(forms.paths.back(), options);
  EXPECT_EQ(part.labels, std::vector<int32_t>(kLabels.begin() + 2, kLabels.begin() + 4));
  std::vector<uint8_t> image(72), other(72);
  part.image_bytes(1, image.data());
  want.image_bytes(3, other.data());
  EXPECT_EQ(image, other);
  // A shard's own fingerprint is of its own images.
  Dataset held = part;
  held.source = nullptr;
  for (int i = 0; i < part.count; ++i) {
    part.image_bytes(i, image.data());
    held.pixels.insert(held.pixels.end(), image.begin(), image.end());
  }
  EXPECT_EQ(part.fingerprint(), held.fingerprint());
  // What is resized and made grey as it is fetched.
  LoadOptions small{.height = 3, .width = 3, .channels = 1};
  const Dataset grey = load_dataset(forms.folder / "packed1.safetensors", small);
  EXPECT_FALSE(grey.answers_to(want.fingerprint())) << "other pixels";
  Dataset all = want;
  fit_to_options(all, small);
  expect_same_images(grey, all, "grey");
}

// A packed file for everybody else: what a reader of safetensors finds in it.
TEST(Forms, APackedFileIsASafetensorsFile) {
  const WarningsKept warnings;
  const Forms forms;
  const Dataset want = load_dataset(forms.images, {.height = 6, .width = 4, .channels = 3});
  const SafetensorsFile file = SafetensorsFile::open(forms.folder / "packed1.safetensors");
  EXPECT_EQ(file.entry("samples").shape, (std::vector<int64_t>{kImages, 3, 6, 4}));
  EXPECT_EQ(transposed(file.read_raw("samples"), kImages, 3, 24), want.pixels);
  EXPECT_EQ(file.read_i64("labels"), std::vector<int64_t>(kLabels.begin(), kLabels.end()));
  EXPECT_EQ(file.metadata().at("class_names"), R"(["cat","dog","emu"])");
  EXPECT_EQ(file.metadata().at("fingerprint").size(), 16u);
}

TEST(Forms, PackingLeavesNothingHalfDone) {
  const WarningsKept warnings;
  const Forms forms;
  forms.folder.write("images/dog/2.png", "no image");
  const Dataset data = load_dataset(forms.images, {.height = 6, .width = 4, .channels = 3, .stream = true});
  std::filesystem::create_directories(forms.folder / "out");
  for (const int shards : {1, 2}) {
    EXPECT_EQ(message_of([&] {
                pack_dataset(data, {forms.folder / "out/x.safetensors", shards, 3});
              }),
              forms.folder / "images/dog/2.png" + ": is neither a PNG nor a JPEG image (by its first bytes)");
    EXPECT_TRUE(std::filesystem::is_empty(forms.folder / "out"));
  }
  const auto refused = [&](const std::string& name, int shards) {
    const std::string path = forms.folder / name;
    return message_of([&] { pack_dataset(data, {path, shards, 1}); }).substr(path.size());
  };
  EXPECT_EQ(refused("out/x.npz", 1), ": expected a name that ends in .safetensors");
  EXPECT_EQ(refused("out/x.safetensors", 8), ": 8 shards asked for of 7 images; expected 1 to 7");
  EXPECT_EQ(refused("none/x.safetensors", 1).substr(0, 20), ": cannot be created:");
}

struct Damage {
  std::string name, bytes, message;
};

TEST(Forms, DamagedArchivesAreToldInOneLine) {
  const WarningsKept warnings;
  const TempFolder folder;
  const std::string png = encoded_images()[1], good = tar({{"a.png", png}, {"b.png", png}});
  const size_t block = 512 + (png.size() + 511) / 512 * 512;
  std::string flipped = good, long_name = tar({{std::string(99, 'n'), png}});
  flipped[block + 3] ^= 1;
  ZipMember link = stored("l.png", "/etc/passwd");
  link.unix_mode = 0120777;
  const std::string safe = "; make the archive with names below one folder";
  const std::vector<Damage> all{
      {"cut.tar", good.substr(0, block + 600),
       join_text(": b.png: has ", png.size(), " bytes, and the archive ends at byte ", block + 600,
                 " in the midst of them; it is cut short")},
      {"head.tar", good.substr(0, block + 100),
       join_text(": is cut short or damaged at byte ", block, " of ", block + 100, ": *")},
      {"between.tar", good.substr(0, 2 * block),
       join_text(": ends at byte ", 2 * block, " without the block of zeros that ends an archive; it is cut short")},
      {"flipped.tar", flipped, join_text(": is cut short or damaged at byte ", block, " of ", good.size(), ": *")},
      {"twice.tar", good + good,
       join_text(": goes on at byte ", good.size(),
                 " behind its end; it is several archives in one file: take them apart")},
      {"up.tar", tar({{"a/../../b.png", png}}), ": a/../../b.png: lies outside of the archive" + safe},
      {"root.tar", tar({{"/a.png", png}}), ": /a.png: has an absolute path" + safe},
      {"link.tar", tar({{"a.png", png}, {"b.png", "/etc/passwd", '2'}}),
       ": b.png: is a link, which is not followed; store the file itself"},
      {"none.tar", std::string(1024, '\0'),
       ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders"},
      {"text.tar", tar({{"a.txt", "x"}}),
       ": has no .png, .jpg or .jpeg images, neither in it nor in its sub-folders; it holds 1 .txt"},
      {"bad.tar", tar({{"a.png", png}, {"b.png", "x"}}),
       ": b.png: is neither a PNG nor a JPEG image (by its first bytes)"},
      {"class.tar", tar({{"1.png", png}, {"1.cls", "two"}}), ": 1.cls: is 'two'; a class, a whole number, is expected"},
      {"less.tar", tar({{"1.png", png}, {"1.cls", "2"}, {"2.png", png}}),
       ": 2.png: has no .cls beside it, as others have; every sample needs its class"},
      {"two.tar", tar({{"1.png", png}, {"1.jpg", png}, {"1.cls", "2"}}), ": 1.jpg: is a second image of a sample"},
      {"json.tar", tar({{"1.png", png}, {"1.json", R"({"label": 0.5})"}}),
       ": 1.json: \"label\" is '0.5'; a whole number is expected"},
      {"up.zip", zip({stored("../a.png", png)}), ": ../a.png: lies outside of the archive" + safe},
      {"link.zip", zip({link}), ": l.png: is a link, which is not followed; store the file itself"},
      {"cut.zip", zip({stored("a.png", png)}).substr(0, 60), ": is no zip archive, or one that is empty or cut short"},
      {"twice.zip", zip({stored("a.png", png), stored("./a.png", png)}), ": ./a.png: is there twice"},
      {"label.zip", zip({stored("a.png", png), stored("dataset.json", R"({"labels": [["b.png", 1]]})")}),
       ": dataset.json: has a label for 'b.png', which is not there"},
      {"unlabelled.zip", zip({stored("a.png", png), stored("dataset.json", R"({"labels": []})")}),
       ": dataset.json: has no label for 'a.png'"},
      {"many.zip", zip({stored("a.png", png), stored("dataset.json", R"({"labels": [["a.png", [0, 1]]]})")}),
       ": dataset.json: label 0 is '[\"a.png\",[0,1]]'; [name, class] is expected, the class a whole number"},
      {"x.safetensors.index.json",
       R"({"metadata": {"ito_data_set": "1"}, "shards": [{"file": "../x.safetensors", "images": 1}]})",
       ": shard '../x.safetensors' is no name of a file in the index's folder"},
      {"y.safetensors.index.json", R"({"metadata": {"ito_data_set": "1"}, "shards": [{"file": "x\n", "images": 1}]})",
       ": shard 'x\\x0a' is no name of a file in the index's folder"},
      {"other.index.json", R"({"weight_map": {}})",
       ": is no index of a packed data set, with \"metadata\" and a list of \"shards\""},
  };
  for (const Damage& damage : all) {
    const std::string path = folder.write(damage.name, damage.bytes);
    std::string told = message_of([&] { load_dataset(path); });
    EXPECT_TRUE(told.starts_with(path)) << told;
    told.erase(0, std::min(path.size(), told.size()));
    const bool start = damage.message.ends_with("*");
    EXPECT_EQ(start ? told.substr(0, damage.message.size() - 1) : told,
              start ? damage.message.substr(0, damage.message.size() - 1) : damage.message)
        << damage.name;
  }
  EXPECT_EQ(message_of([&] { load_dataset(folder / "x-{0..2}.tar"); }).substr(folder.path().size()),
            "/x-{0..2}.tar: '" + (folder / "x-0.tar") + "' is not there");
  // A file that shrinks under a run that reads from it.
  const Dataset data = load_dataset(folder.write("shrinks.tar", good), {.stream = true});
  folder.write("shrinks.tar", good.substr(0, block));
  std::vector<uint8_t> image(static_cast<size_t>(data.image_size()));
  data.image_bytes(0, image.data());
  EXPECT_EQ(message_of([&] { data.image_bytes(1, image.data()); }),
            join_text(folder / "shrinks.tar", ": ends at byte ", block, ", and had ", good.size(),
                      " bytes when it was opened; it was cut short while it was read"));
}

}  // namespace
}  // namespace ito
