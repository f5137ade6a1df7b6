// SPDX-License-Identifier: Apache-2.0
// Settings from JSON: each type as strictly as promised, one line for each misfit, and no key passed over.
#include "engine/io/json_reader.h"

#include <gtest/gtest.h>

#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

const std::string kWhere = "file.json";

template <class T>
T read(const char* text, T value) {
  const Json object = {{"key", Json::parse(text)}};
  JsonReader(object, kWhere).read("key", value);
  return value;
}

template <class T>
std::string refused(const char* text) {
  return message_of([&] { read(text, T{}); });
}

TEST(JsonReader, ReadsEachType) {
  EXPECT_EQ(read("true", false), true);
  EXPECT_EQ(read("-7", 1), -7);
  EXPECT_EQ(read("1073741824", 1), 1 << 30);
  EXPECT_EQ(read("2.5", 1.0), 2.5);
  EXPECT_EQ(read("2", 1.0), 2.0);
  EXPECT_EQ(read(R"("word")", std::string()), "word");
  EXPECT_EQ(read("[1, 2]", std::vector<int>{9}), (std::vector<int>{1, 2}));
  EXPECT_EQ(read("[]", std::vector<double>{9}), std::vector<double>{});
  EXPECT_EQ(read("[3, 4]", std::array<int, 2>{}), (std::array<int, 2>{3, 4}));
  EXPECT_EQ(read("5", std::array<int, 2>{}), (std::array<int, 2>{5, 5}));
  EXPECT_EQ(read("null", std::optional<int>(3)), std::nullopt);
  EXPECT_EQ(read("4", std::optional<int>()), 4);
}

TEST(JsonReader, RefusesWhatIsOfAnotherType) {
  const auto line = [](const char* found, const char* expected) {
    return join_text("file.json: key is ", found, "; expected ", expected);
  };
  EXPECT_EQ(refused<bool>("1"), line("1", "true or false"));
  for (const char* text : {"1.0", "true", "null", R"("1")", "1073741825", "-1073741825", "18446744073709551615"})
    EXPECT_EQ(refused<int>(text), line(text, "a whole number of reasonable size"));
  EXPECT_EQ(refused<double>("true"), line("true", "a number"));
  EXPECT_EQ(refused<double>("null"), line("null", "a number"));
  EXPECT_EQ(refused<std::string>("3"), line("3", "text"));
  EXPECT_EQ(refused<std::vector<int>>("3"), line("3", "a list"));
  EXPECT_EQ(refused<std::vector<int>>("[1, 2.5]"), line("2.5", "a whole number of reasonable size"));
  EXPECT_EQ((refused<std::array<int, 2>>("[1, 2, 3]")), line("[1,2,3]", "a size or [height, width]"));
  EXPECT_EQ(refused<std::optional<int>>("true"), line("true", "a whole number of reasonable size"));
  EXPECT_EQ(message_of([] { JsonReader(Json::array(), kWhere); }),
            "file.json: found array, expected a JSON object of settings");
}

TEST(JsonReader, ANameIsAskedOfItsOwner) {
  const Json object = {{"key", "two"}, {"number", 2}};
  JsonReader reader(object, kWhere);
  int value = 1;
  const auto of = [](std::string_view name) {
    ITO_USER_CHECK(name == "two", "no such name");
    return 2;
  };
  reader.read_name("absent", value, of);
  EXPECT_EQ(value, 1);
  reader.read_name("key", value, of);
  EXPECT_EQ(value, 2);
  EXPECT_EQ(message_of([&] { reader.read_name("number", value, of); }), "file.json: number is 2; expected a name");
}

TEST(JsonReader, SaysWhatNothingAskedFor) {
  const Json object = {{"read", 1}, {"_class_name", "x"}, {"nothing", nullptr},
                       {"b", 2},    {"a", "text"},        {"no", nullptr}};
  JsonReader reader(object, kWhere);
  int value = 0;
  reader.read("read", value);
  reader.read("absent", value);
  EXPECT_EQ(value, 1) << "an absent key leaves the value";
  EXPECT_TRUE(reader.has("nothing"));
  EXPECT_FALSE(reader.has("absent"));
  EXPECT_TRUE(reader.is_null("nothing"));
  EXPECT_FALSE(reader.is_null("absent"));
  EXPECT_EQ(reader.unread(), (Json{{"a", "text"}, {"b", 2}}));
  EXPECT_EQ(reader.unread_names(), "'a', 'b'");
}

}  // namespace
}  // namespace ito
