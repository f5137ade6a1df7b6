// SPDX-License-Identifier: Apache-2.0
// Images read by threads: the same data, and the same first fault, by any number of them.
#include "engine/data/read_images.h"

#include <gtest/gtest.h>

#include "engine/io/image.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

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
  read_images(paths, {.threads = 1, .progress = &progress}, alone);
  EXPECT_EQ(alone.count, 23);
  EXPECT_EQ(alone.pixels[22 * 60 + 59], 22);
  EXPECT_EQ(progress.done, 23);
  EXPECT_EQ(progress.total, 23);
  for (const int threads : {0, 2, 5, 64}) {
    Dataset data;
    read_images(paths, {.threads = threads}, data);
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
    EXPECT_EQ(message_of([&] { read_images(paths, {.threads = 4}, data); }),
              paths[6] + ": is neither a PNG nor a JPEG image (by its first bytes)");
  }
}

TEST(ReadImages, AreHeldAgainstTheMemory) {
  TempFolder folder;
  for (int i = 0; i < 3; ++i) write_png(folder / (std::to_string(i) + ".png"), Image(600, 800, 3, 77));
  EXPECT_EQ(load_dataset(folder.path(), {.memory_limit = size_t{5} << 20}).count, 3);
  EXPECT_EQ(message_of([&] { load_dataset(folder.path(), {.memory_limit = size_t{4} << 20}); }),
            folder.path() +
                ": reading its 3 images needs 5 MiB, but only 4 MiB are free; take fewer or smaller images, or free "
                "some memory");
}

}  // namespace
}  // namespace ito
