// SPDX-License-Identifier: Apache-2.0
// Event files against another reader of the same formats, and the checksum against published values.
#include "engine/io/event_file.h"

#include <gtest/gtest.h>

#include "engine/io/crc32c.h"
#include "kernels/error.h"
#include "tests/engine/io/read_events.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
TEST(EventFile, ChecksumIsCrc32c) {
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i), falling += static_cast<char>(31 - i);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(crc32c(falling), 0x113fdb5cu);
}

TEST(EventFile, IsReadBack) {
  const TempFolder folder;
  const std::string path = folder / "events.out.tfevents.1", png(1000, '\x89');
  {
    EventFile file(path, 1.5, 7);
    file.scalars(2.5, 300, {{"loss", 0.1}, {"rate", -3e30}});
    file.picture(3.5, int64_t{1} << 40, "samples", {130, 7, 3, png});
  }
  const std::vector<test::Event> events = test::read_events(read_bytes(path));
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_FALSE(events[0].starts);
  EXPECT_TRUE(events[1].starts);
  EXPECT_EQ(events[1].step, 7);
  EXPECT_EQ(events[1].wall_time, 1.5);
  EXPECT_EQ(events[2].step, 300);
  EXPECT_EQ(events[2].wall_time, 2.5);
  EXPECT_EQ(events[2].scalars, (std::map<std::string, float>{{"loss", 0.1f}, {"rate", -3e30f}}));
  EXPECT_EQ(events[3].step, int64_t{1} << 40);
  const test::Fields& picture = events[3].pictures.at("samples");
  EXPECT_EQ(test::number_of(picture, 1), 130u);
  EXPECT_EQ(test::number_of(picture, 2), 7u);
  EXPECT_EQ(test::number_of(picture, 3), 3u);
  EXPECT_EQ(test::text_of(picture, 4), png);
  EXPECT_THROW(EventFile(path, 0, 0), Error) << "a file that is there is another run's";
}

}  // namespace
}  // namespace ito
