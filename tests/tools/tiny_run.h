// SPDX-License-Identifier: Apache-2.0
// What tests of the command share: the programs, a model and data so small that a training run takes a moment.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/io/image.h"
#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "tests/tools/child_process.h"

namespace ito {

using Words = std::vector<std::string>;

inline std::string program_path(const std::string& name) {
  return std::string(ITO_PROGRAM_FOLDER) + "/" + name;
}

// `ito` with these arguments.
inline ChildResult run_ito(Words arguments) {
  arguments.insert(arguments.begin(), program_path("ito"));
  return run_child(arguments);
}

// The words of both; an option of the first that the second gives too is left out with its values.
inline Words operator+(const Words& words, const Words& more) {
  Words all;
  bool replaced = false;
  for (const std::string& word : words) {
    if (word.starts_with("--")) replaced = std::find(more.begin(), more.end(), word) != more.end();
    if (!replaced) all.push_back(word);
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// 8x8 grey images, three classes, attention on the lower level.
inline Json tiny_model() {
  return {{"sample_size", 8},
          {"in_channels", 1},
          {"out_channels", 1},
          {"block_out_channels", {8, 16}},
          {"layers_per_block", 1},
          {"norm_num_groups", 4},
          {"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
          {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}},
          {"attention_head_dim", 8},
          {"num_class_embeds", 3}};
}

constexpr int kTinySize = 8, kTinyClasses = 3, kTinyPerClass = 4;

inline Image tiny_image(int label, int number) {
  Image image(kTinySize, kTinySize, 1);
  for (int y = 0; y < kTinySize; ++y)
    for (int x = 0; x < kTinySize; ++x)
      image.at(y, x) = static_cast<uint8_t>((label == 0 ? 30 * y : label == 1 ? 30 * x : 15 * (x + y)) + 3 * number);
  return image;
}

// FOLDER/images/<class>/<number>.png; returns FOLDER/images.
inline std::string write_image_folder(const TempFolder& folder) {
  for (int label = 0; label < kTinyClasses; ++label) {
    const std::string classes = folder / join_text("images/class", label);
    std::filesystem::create_directories(classes);
    for (int number = 0; number < kTinyPerClass; ++number)
      write_png(join_text(classes, "/", number, ".png"), tiny_image(label, number));
  }
  return folder / "images";
}

// A folder with the model, the images and the words that train on them for a few steps (--out is left to say).
struct TinyRun {
  TempFolder folder;
  std::string model = folder.write("model.json", json_text(tiny_model()));
  std::string images = write_image_folder(folder);
  Words train{"train", "--data",   images, "--model", model, "--batch",     "8", "--lr",
              "0.002", "--warmup", "2",    "--seed",  "5",   "--log-every", "2"};
  std::string operator/(const std::string& name) const { return folder / name; }
};

// Every file below a folder: relative path to content.
inline std::map<std::string, std::string> files_below(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder))
    if (item.is_regular_file())
      files[std::filesystem::relative(item.path(), folder).string()] = read_bytes(item.path().string());
  return files;
}

// Both have the same files with the same bytes; names what differs.
inline void expect_same_files(const std::string& a, const std::string& b) {
  const auto files_a = files_below(a), files_b = files_below(b);
  EXPECT_EQ(files_a.size(), files_b.size()) << a << " and " << b;
  EXPECT_GT(files_a.size(), 0u) << a;
  for (const auto& [name, bytes] : files_a) {
    const auto other = files_b.find(name);
    ASSERT_NE(other, files_b.end()) << name << " is missing in " << b;
    EXPECT_TRUE(bytes == other->second) << name << " differs between " << a << " and " << b;
  }
}

inline std::vector<Json> read_json_lines(const std::string& path) {
  std::vector<Json> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) lines.push_back(parse_json(line, path));
  return lines;
}

// The user's mistake: exit code 2 and one line on stderr; returns the line.
inline std::string refusal(const Words& arguments) {
  const ChildResult result = run_ito(arguments);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.error_lines(), 1u) << result.err;
  EXPECT_TRUE(result.err.starts_with("ito: ")) << result.err;
  EXPECT_EQ(result.out, "");
  return result.err;
}

}  // namespace ito
