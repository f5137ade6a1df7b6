// SPDX-License-Identifier: Apache-2.0
// Tables of bad inputs: each row is a command line and the one line that it must print. Whatever is refused must be
// refused quickly, with the right exit code, nothing on standard output and nothing new where the output was to go.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/names.h"
#include "engine/diffusion/scheduler_config.h"
#include "models/unet/unet.h"
#include "tests/tools/tiny_run.h"

namespace ito {

// Whether the text is the expected one, exact but for '#', any number, and '*', any text of one line. By hand, since a
// program with std::regex takes half as long again to compile.
inline bool matches(std::string_view text, std::string_view expected) {
  const auto digits = [&](size_t at) {
    size_t end = at;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    return end;
  };
  const auto rest_from = [&](size_t at) { return matches(text.substr(at), expected.substr(1)); };
  if (expected.empty()) return text.empty();
  if (expected[0] == '*') {
    for (size_t at = 0;; ++at) {
      if (rest_from(at)) return true;
      if (at == text.size() || text[at] == '\n') return false;
    }
  }
  if (expected[0] == '#') {
    const size_t whole = digits(0);
    if (whole == 0) return false;
    if (whole < text.size() && text[whole] == '.' && digits(whole + 1) > whole + 1 && rest_from(digits(whole + 1)))
      return true;
    return rest_from(whole);
  }
  return !text.empty() && text[0] == expected[0] && rest_from(1);
}

struct Row {
  std::string name;
  Words words;
  std::string expected;  // after "ito: "
  int code = 2;
  std::string shell = "";  // a command that the shell runs first, such as ulimit
  std::map<std::string, std::string> environment = {};
};

inline std::string bytes_of_length(uint64_t value) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

// A model on disk, the words that use it, and a folder in which nothing may appear.
class BadInput : public testing::Test {
 protected:
  BadInput() { std::filesystem::create_directories(outputs_); }

  std::string path(const std::string& name) const { return folder_ / name; }
  std::string out(const std::string& name = "out") const { return outputs_ + "/" + name; }
  std::string write(const std::string& name, std::string_view bytes) const { return folder_.write(name, bytes); }

  using Tensors = std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>;

  // NAME/unet and NAME/scheduler; `unet` and `scheduler` are merged into the tiny ones. With `weights` an arena of
  // initial values is written, after `change` had its way with it.
  std::string make_model(const std::string& name, const Json& unet = Json::object(),
                         const Json& scheduler = Json::object(),
                         const std::function<void(Tensors&)>& change = {}) const {
    Json config = tiny_model();
    config.update(unet);
    Json steps = scheduler_config_json({});
    steps.update(scheduler);
    const std::string folder = path(name);
    write(name + "/unet/config.json", json_text(config));
    write(name + "/scheduler/scheduler_config.json", json_text(steps));
    Json known = tiny_model();
    for (const char* key : {"num_class_embeds", "out_channels", "in_channels", "time_embedding_type",
                            "class_embed_type", "num_train_timesteps"})
      if (unet.contains(key) && !change) known[key] = unet[key];
    std::vector<std::string> ignored;
    const ParameterLayout layout =
        parameters_of(unet_network(unet_config_from_json(known, folder, &ignored), kTinySize, kTinySize));
    const std::vector<float> arena = initial_weights(layout, 1);
    Tensors tensors;
    for (const Parameter& p : layout.all()) tensors[p.name] = {p.shape, to_file_layout(p, arena.data())};
    if (change) change(tensors);
    SafetensorsWriter writer;
    for (const auto& [key, tensor] : tensors) writer.add(key, tensor.first, tensor.second);
    writer.write(folder + "/unet/" + kWeightsFile);
    return folder;
  }

  // Written by hand: the header's length, the header, `data` zero bytes.
  std::string make_container(const std::string& name, const std::string& header, size_t data,
                             int64_t extra_length = 0) const {
    return write(
        name, bytes_of_length(header.size() + static_cast<uint64_t>(extra_length)) + header + std::string(data, '\0'));
  }

  Words sample(const std::string& model, const Words& more = {}) const {
    return Words{"sample", "--checkpoint", model, "--out", out(), "--count", "2", "--steps", "2"} + more;
  }
  Words predict(const std::string& model, const std::string& input, const Words& more = {}) const {
    return Words{"predict", "--checkpoint", model, "--input", input, "--output", out("p.safetensors")} + more;
  }
  Words train(const Words& more = {}) const {
    return Words{"train",   "--data", images_,    "--model", model_file_, "--steps", "2",
                 "--batch", "4",      "--warmup", "0",       "--out",     out()} +
           more;
  }

  ChildResult run(const Row& row) const {
    for (const auto& [key, value] : row.environment) setenv(key.c_str(), value.c_str(), 1);
    Words command{program_path("ito")};
    command.insert(command.end(), row.words.begin(), row.words.end());
    if (!row.shell.empty()) {
      const Words shell{"/bin/sh", "-c", row.shell + "; exec \"$0\" \"$@\""};
      command.insert(command.begin(), shell.begin(), shell.end());
    }
    const ChildResult result = run_child(command);
    for (const auto& [key, value] : row.environment) unsetenv(key.c_str());
    return result;
  }

  void check(const std::vector<Row>& rows) const {
    const auto before = files_below(outputs_);
    const auto folders_before = count_entries();
    for (const Row& row : rows) {
      SCOPED_TRACE(row.name);
      const auto start = std::chrono::steady_clock::now();
      const ChildResult result = run(row);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      EXPECT_EQ(result.exit_code, row.code) << result.err;
      EXPECT_EQ(result.error_lines(), 1u) << result.err;
      EXPECT_TRUE(matches(result.err, "ito: " + row.expected + "\n"))
          << "found    " << result.err << "expected ito: " << row.expected;
      EXPECT_EQ(result.out, "");
      EXPECT_LT(seconds, 20) << "a refusal must not take long";
      EXPECT_TRUE(files_below(outputs_) == before) << "a file appeared in the output folder";
      EXPECT_EQ(count_entries(), folders_before) << "a folder appeared in the output folder";
    }
    std::printf("[     ROWS ] %zu\n", rows.size());
  }

  size_t count_entries() const {
    size_t entries = 0;
    for ([[maybe_unused]] const auto& item : std::filesystem::recursive_directory_iterator(outputs_)) ++entries;
    return entries;
  }

  TempFolder folder_;
  std::string outputs_ = folder_ / "outputs";
  std::string images_ = write_image_folder(folder_);
  std::string model_file_ = folder_.write("model.json", json_text(tiny_model()));
};

}  // namespace ito
