// SPDX-License-Identifier: Apache-2.0
// Kernel tables: that a file says what was written, refuses what it should, and that layers obey.
#include <gtest/gtest.h>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/io/json_file.h"
#include "kernels/seams/conv.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/engine/user_error.h"
#include "tests/warnings_kept.h"

namespace ito::test {
namespace {

constexpr const char* kKey = "forward 4x4x8 to 8, filters 3x3, stride 1, padding 1 1 1 1, fp32";
const ConvShape kShape{4, 4, 8, 8, 3, 3, 1, 1, 1, 1, 1};

class KernelTables : public ::testing::Test {
 public:
  ~KernelTables() override { use_kernel_table({}); }
  std::string write(const Json& json) const {
    const std::string path = folder_ / "table.json";
    write_json_file(path, json);
    return path;
  }
  std::string write(const std::string& device, const KernelChoices& choices) const {
    return write(json_of({"", device, choices}));
  }

 private:
  TempFolder folder_;
};

TEST_F(KernelTables, AreReadAsTheyWereWritten) {
  const KernelChoices choices{{kKey, "portable"}, {"another", "cudnn:engine 9, knobs 2=19"}};
  const KernelTable table = read_kernel_table(write("a card", choices));
  EXPECT_EQ(table.device, "a card");
  EXPECT_EQ(table.choices, choices);
}

TEST_F(KernelTables, RefuseWhatIsNone) {
  Json changed = json_of({"", "a card", {{kKey, "portable"}}});
  changed["choices"][kKey] = "other";
  const std::pair<Json, const char*> refused[] = {
      {Json::array(), "no JSON object"},
      {{{"choices", Json::object()}}, "no text 'device'"},
      {{{"device", "a"}, {"hash", "b"}}, "no object 'choices'"},
      {{{"device", "a"}, {"hash", "b"}, {"choices", {{"k", 3}}}}, "expected the name of a kernel"},
      {changed, "its hash is"},
  };
  for (const auto& [json, text] : refused)
    EXPECT_NE(user_error([&] { read_kernel_table(write(json)); }).find(text), std::string::npos) << text;
}

TEST_F(KernelTables, OfAnotherDeviceAreRefusedFromTheUserAndLeftAloneInACheckpoint) {
  ModelFiles files;
  files.kernels = write("another card", {{kKey, "nothing"}});
  EXPECT_NE(user_error([&] { take_kernel_table(files.kernels); }).find("was made on 'another card'"),
            std::string::npos);
  take_kernels_of(files);
  EXPECT_TRUE(kernel_table().choices.empty());
}

TEST_F(KernelTables, OfACheckpointAreObeyed) {
  const ConvLayer free("layer", kShape, DType::F32, {true, true});
  if (free.choices().empty()) GTEST_SKIP() << "this device leaves no choice";
  EXPECT_EQ(free.choices().size(), 3u);
  ModelFiles files;
  files.kernels = write(device_name(), {{kKey, "portable"}});
  take_kernels_of(files);
  EXPECT_EQ(ConvLayer("layer", kShape, DType::F32, {}).choices().at(kKey), "portable");
  files.kernels = write(device_name(), {{kKey, "of the future"}});
  take_kernels_of(files);
  const WarningsKept warnings;
  EXPECT_EQ(ConvLayer("layer", kShape, DType::F32, {}).choices().at(kKey), free.choices().at(kKey));
  ASSERT_EQ(WarningsKept::all().size(), 1u);
  const std::string said = WarningsKept::all().front();
  for (const char* part : {"table.json", kKey, "of the future", "taking what"})
    EXPECT_NE(said.find(part), std::string::npos) << part << " is not in: " << said;
}

// Every kernel a layer could take is there, tried, and timed where it may be taken.
TEST_F(KernelTables, CanBeMade) {
  const ConvLayer layer("layer", kShape, DType::F32, {true, true});
  if (layer.choices().empty()) GTEST_SKIP() << "this device leaves no choice";
  KernelChoices made;
  for (const KernelTiming& timing : layer.time_choices(2)) {
    EXPECT_EQ(timing.seconds > 0, timing.trouble.empty()) << timing.name;
    if (timing.name == "portable") made.emplace(timing.key, timing.name);
  }
  EXPECT_EQ(made.size(), 3u);
}

// Last: from then on the process has the user's table.
TEST_F(KernelTables, TheUsersIsBinding) {
  if (ConvLayer("layer", kShape, DType::F32, {}).choices().empty()) GTEST_SKIP() << "this device leaves no choice";
  take_kernel_table(write(device_name(), {{kKey, "of the future"}}));
  const std::string error = user_error([] { ConvLayer("layer", kShape, DType::F32, {}); });
  for (const char* part : {"table.json", kKey, "of the future", "make a table"})
    EXPECT_NE(error.find(part), std::string::npos) << part << " is not in: " << error;
}

}  // namespace
}  // namespace ito::test
