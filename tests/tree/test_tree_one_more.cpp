// SPDX-License-Identifier: Apache-2.0
// What one more of anything costs, counted: besides its own file a sampler, a data set, a metric and an architecture
// are named in one list, a prediction and a training option in one line. CONTRIBUTING.md says which.
#include <algorithm>
#include <regex>
#include <set>

#include "tests/tree/expect_rule.h"

namespace ito {
namespace {

using Paths = std::set<std::string>;

const std::string kOptions = "engine/run/run_config.h";

bool is_product(const SourceFile& file) {
  for (const char* top : {"kernels/", "engine/", "models/", "tools/"})
    if (starts_with(file.path, top)) return is_cpp(file.path);
  return false;
}

const SourceFile& file_at(const std::string& path) {
  const auto at = std::find_if(tree().begin(), tree().end(), [&](const SourceFile& f) { return f.path == path; });
  if (at == tree().end()) throw std::runtime_error(path + " is not in the tree");
  return *at;
}

// The product's C++ files without their comments; literals stay.
const std::vector<SourceFile>& product() {
  static const std::vector<SourceFile> files = [] {
    std::vector<SourceFile> found;
    for (const SourceFile& file : tree()) {
      if (!is_product(file)) continue;
      found.push_back(file);
      const std::string comments = views_of(file.text).comments;
      for (size_t i = 0; i < comments.size(); ++i)
        if (comments[i] != ' ' && comments[i] != '\n') found.back().text[i] = ' ';
    }
    return found;
  }();
  return files;
}

Paths files_with(const std::regex& pattern) {
  Paths found;
  for (const SourceFile& file : product())
    if (std::regex_search(file.text, pattern)) found.insert(file.path);
  return found;
}

// The first group of every match in one file.
std::vector<std::string> matches_in(const SourceFile& file, const std::string& pattern) {
  std::vector<std::string> found;
  const std::regex expression(pattern);
  for (std::sregex_iterator match(file.text.begin(), file.text.end(), expression), end; match != end; ++match)
    found.push_back(match->str(1));
  return found;
}

// Every `const KIND kName = {` of the folder's files stands besides its own file in the list alone.
void expect_one_list(const std::string& folder, const std::string& kind, const std::string& list, size_t at_least) {
  size_t count = 0;
  for (const SourceFile& file : tree()) {
    if (!starts_with(file.path, folder)) continue;
    for (const std::string& name : matches_in(file, "(?:^|\\n)const " + kind + " (k\\w+)\\s*(?:=|\\{)")) {
      ++count;
      EXPECT_EQ(files_with(std::regex("\\b" + name + "\\b")), (Paths{file.path, list})) << name;
    }
  }
  EXPECT_GE(count, at_least) << "no " << kind << " was found in " << folder << ": the count has lost its subject";
}

TEST(OneMore, ASamplerIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/samplers/", "Sampler", "engine/samplers/sampler.cpp", 4);
}

TEST(OneMore, ADataSetIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/data/", "DatasetFormat", "engine/data/load_dataset.cpp", 5);
}

TEST(OneMore, AMetricIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/evaluate/", "Metric", "engine/evaluate/metric.cpp", 6);
}

TEST(OneMore, AFeatureNetworkIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/evaluate/", "FeatureNetworkKind", "engine/evaluate/feature_network.cpp", 2);
}

TEST(OneMore, AWeightingIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/diffusion/weightings/", "Weighting", "engine/diffusion/weighting.cpp", 6);
}

TEST(OneMore, ADrawOfLevelsIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/training/level_draws/", "LevelDraw", "engine/training/level_draw.cpp", 4);
}

TEST(OneMore, ALearningRateIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/training/learning_rates/", "LearningRate", "engine/training/learning_rate.cpp", 4);
}

TEST(OneMore, APredictionIsALine) {
  const SourceFile& table = file_at("engine/diffusion/quantity.cpp");
  const std::vector<std::string> names = matches_in(table, "\n    \\{\"(\\w+)\",\\s");
  EXPECT_GE(names.size(), 5u);
  for (const std::string& name : names) {
    Paths found = files_with(std::regex("\"" + name + "\""));
    if (name == "epsilon") found.erase(kOptions);  // what is predicted unless a run says otherwise
    if (name == "sample")                          // also the name of a tensor and of a command
      for (const char* path :
           {"engine/program/network.cpp", "tools/commands/bench/bench.cpp", "tools/commands/bench/models.cpp",
            "tools/commands/bench/against.cpp", "tools/commands/profile/profile.cpp", "tools/commands/sample.cpp",
            "tools/commands/predict.cpp"})
        found.erase(path);
    if (name == "mean")  // also a word of statistics
      for (const char* path :
           {"engine/training/level_draws/log_normal.cpp", "engine/training/level_draws/logit_normal.cpp",
            "tools/commands/likelihood.cpp", "tools/commands/restore/parts.cpp"})
        found.erase(path);
    EXPECT_EQ(found, Paths{table.path}) << name;
  }
}

TEST(OneMore, AReverseOptionIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/diffusion/options/", "ReverseOption", "engine/diffusion/options/option.cpp", 5);
}

TEST(OneMore, AMeasurementOperatorIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/inverse/operators/", "OperatorKind", "engine/inverse/operators.cpp", 2);
}

TEST(OneMore, ASolverIsAFileAndItsPlaceInTheList) {
  expect_one_list("engine/inverse/solvers/", "Solver", "engine/inverse/solver.cpp", 12);
}

TEST(OneMore, ALikelihoodMethodIsInAFileAndItsPlaceInTheList) {
  expect_one_list("tools/commands/likelihood/", "LikelihoodMethod", "tools/commands/likelihood.cpp", 3);
}

TEST(OneMore, AnArchitectureIsAFolderAndItsPlaceInTheList) {
  Paths found = files_with(std::regex("unet", std::regex::icase));
  std::erase_if(found, [](const std::string& path) { return starts_with(path, "models/unet/"); });
  EXPECT_EQ(found, Paths{"models/architectures.cpp"});
}

// A line of the list names its field; the command makes flags of the list and of nothing else but --config and what
// prints in place of training.
TEST(OneMore, ATrainingOptionIsALine) {
  const SourceFile& options = file_at(kOptions);
  const std::regex line("visitor\\(\\s*run\\.(\\w+),\\s*RunOption\\{\\s*\"(\\w+)\"");
  Paths keys;
  for (std::sregex_iterator match(options.text.begin(), options.text.end(), line), end; match != end; ++match) {
    EXPECT_EQ(match->str(1), match->str(2));
    EXPECT_TRUE(keys.insert(match->str(2)).second) << match->str(2) << " stands in the list twice";
  }
  EXPECT_GE(keys.size(), 29u);
  EXPECT_EQ(matches_in(options, "(visitor\\(run)").size(), keys.size());
  EXPECT_EQ(matches_in(file_at("tools/commands/train.cpp"), "add_(?:option|flag)\\(\\s*\"(--[a-z-]+)\""),
            (std::vector<std::string>{"--config", "--print-weights", "--json", "--profile-steps"}));
}

}  // namespace
}  // namespace ito
