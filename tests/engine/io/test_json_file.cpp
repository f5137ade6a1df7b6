// SPDX-License-Identifier: Apache-2.0
// JSON files, atomic writing, and the suggestion for unknown keys.
#include "engine/io/json_file.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "engine/io/atomic_file.h"
#include "engine/io/input_file.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

TEST(PythonJson, InfinitiesAreNullOutsideOfStrings) {
  EXPECT_EQ(nulls_for_infinities(R"({"a": -Infinity, "b": [Infinity,NaN], "-Infinity": "NaN \" Infinity", "c": 1})"),
            R"({"a": null, "b": [null,null], "-Infinity": "NaN \" Infinity", "c": 1})");
  EXPECT_EQ(nulls_for_infinities(R"("\\" NaN)"), R"("\\" null)") << "an escaped backslash before the closing quote";
  EXPECT_EQ(nulls_for_infinities("\"open \\"), "\"open \\");
  EXPECT_EQ(nulls_for_infinities(""), "");
}

TEST(JsonFile, WritesSortedIndentedAndWithAFinalNewline) {
  TempFolder folder;
  write_json_file(folder / "x.json", {{"b", 1}, {"a", {1.5, nullptr}}, {"c", "\xc3\xa9"}});
  EXPECT_EQ(read_bytes(folder / "x.json"),
            "{\n  \"a\": [\n    1.5,\n    null\n  ],\n  \"b\": 1,\n  \"c\": \"\xc3\xa9\"\n}\n");
  EXPECT_EQ(read_json_file(folder / "x.json")["a"][0], 1.5);
  EXPECT_EQ(json_text("\xff"), "\"\xef\xbf\xbd\"\n");
}

TEST(JsonFile, FailsInOneLine) {
  TempFolder folder;
  const auto message = [&](const std::string& text) {
    const std::string path = folder.write("x.json", text);
    return message_of([&] { read_json_file(path); }).substr(path.size());
  };
  // Where the fault is comes from us; the parser's own words after it are not ours to pin.
  const std::pair<const char*, const char*> faults[] = {
      {"{\"a\": 1,\n \"b\": }", "parse error at line 2, column 7: "},
      {"", "parse error at line 1, column 1: "},
      {"{\"a\": \"x\ny\"}", "parse error at line 2, column 0: "},
      {"{\"a\": 1e999}", "number overflow parsing '1e999'"},
      {"\"\xff\"", "parse error at line 1, column 2: "},
      {"{} {}", "parse error at line 1, column 4: "},
  };
  for (const auto& [text, place] : faults) {
    const std::string expected = std::string(": not valid JSON: ") + place;
    EXPECT_EQ(message(text).substr(0, expected.size()), expected) << text;
  }
  EXPECT_EQ(message("{\"o\": {\"a\": 1, \"a\": 2}}"), ": the key 'a' occurs twice in one object");
  EXPECT_EQ(message(std::string(1'000'000, '[')), ": nested more than 64 levels deep");
  EXPECT_EQ(message_of([&] { read_json_file(folder / "none"); }),
            (folder / "none") + ": cannot be read: No such file or directory");
  EXPECT_EQ(message_of([&] { read_json_file(folder.path()); }),
            folder.path() + ": is a directory where a file is expected");
}

TEST(JsonFile, TheSameKeyInTwoObjectsIsFine) {
  EXPECT_NO_THROW(parse_json(R"([{"a": 1}, {"a": {"a": 2}}])", "here"));
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "here"));
  EXPECT_THROW(parse_json(std::string(65, '[') + std::string(65, ']'), "here"), UserError);
}

TEST(JsonFile, NearestKey) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("batch", "bacth"), 1);  // two neighbours swapped
  EXPECT_EQ(edit_distance("same", "same"), 0);
  const std::vector<std::string> known = {"batch", "checkpoint_every", "learning_rate", "seed"};
  EXPECT_EQ(nearest_key("bacth", known), "batch");
  EXPECT_EQ(nearest_key("learning-rate", known), "learning_rate");
  EXPECT_EQ(nearest_key("checkpoint_evry", known), "checkpoint_every");
  EXPECT_EQ(nearest_key("colour", known), "");
  EXPECT_EQ(did_you_mean("sed", known), "; did you mean 'seed'?");
  EXPECT_EQ(did_you_mean("zzz", known), "");
}

TEST(InputFile, QuotesNamesOnOneLine) {
  EXPECT_EQ(quote_name("a\nb\x7f"), "'a\\x0ab\\x7f'");
  EXPECT_EQ(quote_name(std::string(300, 'x')), "'" + std::string(100, 'x') + "...'");
  EXPECT_EQ(quote_name("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "'\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80'");
  EXPECT_EQ(quote_name("\xc2\x9b|\xff|\xc0\xaf|\xed\xa0\x80|\xc3"),  // C1, no UTF-8, overlong, surrogate, cut
            "'\\xc2\\x9b|\\xff|\\xc0\\xaf|\\xed\\xa0\\x80|\\xc3'");
  EXPECT_EQ(printable("ab\xc3\xa4", 3), "ab...");                      // not within a character
  EXPECT_EQ(printable(std::string(100, '\x7f'), 9), "\\x7f\\x7f...");  // counted as written
  EXPECT_EQ(list_names({"a", "b\n"}), "'a', 'b\\x0a'");
  EXPECT_TRUE(list_names(std::vector<std::string>(1000, "name")).ends_with("'name' and 949 more"));
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  TempFolder folder;
  folder.write("x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("new", 3);
    EXPECT_EQ(read_bytes(folder / "x"), "old");
  }
  EXPECT_EQ(read_bytes(folder / "x"), "old");
  EXPECT_EQ(folder.names().size(), 1u);
  write_file_atomically(folder / "x", "new");
  EXPECT_EQ(read_bytes(folder / "x"), "new");
  EXPECT_EQ(folder.names().size(), 1u);
}

TEST(AtomicFile, FollowsASymbolicLink) {
  TempFolder folder;
  folder.write("target", "old");
  std::filesystem::create_symlink(folder / "target", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_bytes(folder / "target"), "new");
}

TEST(AtomicFile, GivesReasonAndAdvice) {
  TempFolder folder;
  const std::string missing = folder / "none/x", below_file = folder.write("file", "") + "/x";
  EXPECT_EQ(message_of([&] { write_file_atomically(missing, "x"); }),
            missing + ": cannot be created: No such file or directory; create its directory first");
  EXPECT_EQ(message_of([&] { write_file_atomically(below_file, "x"); }),
            below_file + ": cannot be created: Not a directory; a part of the path is a file, not a directory");
  EXPECT_EQ(message_of([&] { write_file_atomically(folder.path(), "x"); }),
            folder.path() + ": cannot be written: Is a directory; give the name of a file");
  // /dev/full is a disk that is always full; being no regular file it is written straight through, never replaced.
  // That it is full is for the user to mend (exit code 2).
  EXPECT_EQ(message_of([&] { write_file_atomically("/dev/full", "x"); }),
            "/dev/full: writing failed: No space left on device; free some space or write elsewhere");
}

// In a child process, since the limit on file sizes cannot be raised again by an ordinary user.
TEST(AtomicFile, LeavesNothingWhenTheDiskIsFull) {
  TempFolder folder;
  folder.write("x", "old");
  const auto fill = [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message =
        message_of<Error>([&] { write_file_atomically(folder / "x", std::string(10'000, 'y')); });
    // EXPECT in a child is not seen by the parent: the exit code is.
    _exit(message.find("writing failed: File too large; the file-size limit is reached") != std::string::npos ? 0 : 1);
  };
  EXPECT_EXIT(fill(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(read_bytes(folder / "x"), "old");
  EXPECT_EQ(folder.names().size(), 1u);
}

}  // namespace
}  // namespace ito
