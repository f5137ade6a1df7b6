// SPDX-License-Identifier: Apache-2.0
// `ito profile` from outside: its tables as JSON, the trace, and what each node of the captured step is.
#include <map>
#include <set>

#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

class ProfileCommand : public ::testing::Test {
 protected:
  Json profile(const Words& arguments) {
    const std::string config = folder_.write("config.json", json_text(tiny_model()));
    const ChildResult result = run_ito(
        Words{"profile", "--model", config, "--batch", "2", "--steps", "3", "--largest", "64", "--json"} + arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "the output of ito profile");
  }
  TempFolder folder_;
};

TEST_F(ProfileCommand, LayersAndKernelsOfATrainingStep) {
  const std::string trace = folder_ / "trace.json", nodes = folder_ / "graph-nodes.json";
  const Json all = profile({"--what", "train", "--trace", trace, "--graph-nodes", nodes});
  const double network = all.at("network_flop").get<double>();
  EXPECT_GT(network, 0);
  EXPECT_GT(all.at("step_seconds").get<double>(), 0);
  EXPECT_GT(all.at("mfu").get<double>(), 0);
  EXPECT_FALSE(all.contains("loader_share")) << "no data was given";
  for (const char* table : {"layers", "kernels_timed"}) {
    double flop = 0, share = 0;
    std::set<std::string> passes;
    for (const Json& row : all.at(table)) {
      share += row.at("share").get<double>();
      passes.insert(row.at("pass").get<std::string>());
      if (row.contains("flop")) flop += row.at("flop").get<double>();
    }
    EXPECT_NEAR(share, 1, 1e-9) << table;
    EXPECT_NEAR(flop, network, 1e-9 * network) << table << ": every op's work belongs to a launch";
    EXPECT_EQ(passes, (std::set<std::string>{"forward", "backward", "step"})) << table;
  }
  std::set<std::string> layers, backward;
  for (const Json& row : all.at("layers"))
    (row.at("pass") == "backward" ? backward : layers).insert(row.at("layer").get<std::string>());
  for (const Json& row : all.at("kernels_timed"))
    EXPECT_EQ(row.at("kernel").get<std::string>().find("conv_in"), std::string::npos) << "a layer's name: " << row;
  for (const char* name : {"conv_in", "down_blocks.0.resnets.0.conv1", "conv_out"}) {
    EXPECT_TRUE(layers.count(name)) << name;
    EXPECT_TRUE(backward.count(name)) << name;
  }

  std::set<std::string> traced;
  const Json timeline = read_json_file(trace), graph = read_json_file(nodes);
  for (const Json& event : timeline.at("traceEvents")) traced.insert(event.at("name").get<std::string>());
  for (const char* name : {"step", "forward", "backward", "conv_in", "thread_name"})
    EXPECT_TRUE(traced.count(name)) << name;

  double flop = 0;
  int64_t next = 0;
  std::set<std::string> of_nodes;
  for (const Json& node : graph.at("nodes")) {
    EXPECT_EQ(node.at("node"), next++) << "every node is of one launch";
    flop += node.at("flop").get<double>();
    of_nodes.insert(node.at("layer").get<std::string>());
  }
  EXPECT_NEAR(flop, network, 1e-9 * network);
  EXPECT_TRUE(of_nodes.count("conv_in"));
}

TEST_F(ProfileCommand, OfAReverseStep) {
  const std::string nodes = folder_ / "graph-nodes.json";
  const Json all = profile({"--what", "sample", "--graph-nodes", nodes});
  double flop = 0;
  for (const Json& row : all.at("layers")) {
    EXPECT_NE(row.at("pass"), "backward");
    if (row.contains("flop")) flop += row.at("flop").get<double>();
  }
  EXPECT_GT(flop, 0);
  EXPECT_NEAR(flop, all.at("network_flop").get<double>(), 1e-9 * flop) << "of one step";

  double of_nodes = 0;
  int64_t next = 0;
  std::map<std::string, int> kernels;
  const Json graph = read_json_file(nodes);
  for (const Json& node : graph.at("nodes")) {
    EXPECT_EQ(node.at("node"), next++) << "every node is of one launch";
    EXPECT_NE(node.at("pass"), "backward");
    of_nodes += node.at("flop").get<double>();
    ++kernels[node.at("kernel").get<std::string>()];
  }
  EXPECT_NEAR(of_nodes, flop, 1e-9 * flop) << "of one row";
  for (const char* once : {"set_timesteps", "take_time_lines", "advance_row"}) EXPECT_EQ(kernels[once], 1) << once;
  EXPECT_EQ(kernels["fill_normal"], 0) << "what a batch begins with is in no row";
}

TEST_F(ProfileCommand, SaysHowLongABatchTakesToMake) {
  const std::string images = write_image_folder(folder_);
  const Json all = profile({"--data", images});
  EXPECT_GT(all.at("loader_seconds").get<double>(), 0);
  EXPECT_GT(all.at("loader_share").get<double>(), 0);
  EXPECT_LT(all.at("loader_share").get<double>(), 1);
}

TEST_F(ProfileCommand, TablesForReading) {
  const std::string config = folder_.write("config.json", json_text(tiny_model()));
  const ChildResult result =
      run_ito({"profile", "--model", config, "--batch", "2", "--steps", "1", "--largest", "64", "--rows", "3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* word : {"\nkernel ", "\nlayer ", "roofline", "... and "})
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result.out;
}

}  // namespace
}  // namespace ito
