// SPDX-License-Identifier: Apache-2.0
// `ito bench` from outside: its JSON lines, which tools/gpu_check.sh reads.
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

Json bench_json(const Words& arguments) {
  const ChildResult result = run_ito(Words{"bench"} + arguments + Words{"--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1) << result.out;
  return parse_json(result.out, "the output of ito bench");
}

void expect_rate(const Json& rate) {
  EXPECT_GT(rate.at("least").get<double>(), 0);
  EXPECT_LE(rate.at("least").get<double>(), rate.at("median").get<double>());
  EXPECT_LE(rate.at("median").get<double>(), rate.at("most").get<double>());
}

TEST(BenchCommand, CeilingsOfCopiesAndProducts) {
  const Json all = bench_json({"ceilings", "--largest", "48", "--repetitions", "3"});
  EXPECT_EQ(all.at("what"), "ceilings");
  EXPECT_FALSE(all.at("device").get<std::string>().empty());
  EXPECT_FALSE(all.at("kernels").get<std::string>().empty());
  EXPECT_EQ(all.at("copy").at("bytes"), 48 * 48 * 4);
  expect_rate(all.at("copy").at("bytes_moved_per_second"));
  std::map<std::string, int> types;
  for (const Json& product : all.at("products")) {
    ++types[product.at("type").get<std::string>()];
    const double flop = 2.0 * product.at("m").get<int>() * product.at("n").get<int>() * product.at("k").get<int>();
    EXPECT_LE(flop, 2.0 * 48 * 48 * 48);
    expect_rate(product.at("flop_per_second"));
    const double median = product.at("flop_per_second").at("median").get<double>();
    EXPECT_NEAR(median * product.at("seconds").get<double>(), flop, 1e-9 * flop);
  }
  EXPECT_EQ(types.size(), 2u);
  EXPECT_GE(types["bf16"], 2);
  EXPECT_EQ(types["bf16"], types["fp32"]);
}

TEST(BenchCommand, ImagesASecondOfTheLoader) {
  const TinyRun run;
  const Json all = bench_json({"data", "--data", run.images, "--batch", "5", "--repetitions", "3", "--threads", "2"});
  EXPECT_EQ(all.at("what"), "data");
  EXPECT_EQ(all.at("images"), kTinyClasses * kTinyPerClass);
  EXPECT_EQ(all.at("from"), "where they are stored");
  expect_rate(all.at("images_per_second"));
  EXPECT_NEAR(all.at("images_per_second").at("median").get<double>() * all.at("epoch").at("seconds").get<double>(), 10,
              1e-6)
      << "two whole batches an epoch";
}

TEST(BenchCommand, RowsOfSamplersBesideACopy) {
  const Json all = bench_json({"rows", "--largest", "2", "--repetitions", "3"});
  EXPECT_EQ(all.at("what"), "rows");
  EXPECT_EQ(all.at("images"), 2);
  // State and answer read, state and the network's copy of it written, 4 bytes each; a register read or written, 4.
  const std::map<std::string, double> bytes{{"ddpm", 16}, {"ddim", 16}, {"dpm++2m", 24}, {"dpm++3m", 28}, {"lms", 32}};
  EXPECT_EQ(all.at("rows").size(), bytes.size());
  for (const Json& row : all.at("rows")) {
    EXPECT_EQ(row.at("bytes_a_number"), bytes.at(row.at("sampler").get<std::string>())) << row;
    expect_rate(row.at("bytes_moved_per_second"));
    expect_rate(row.at("copy_bytes_moved_per_second"));
    expect_rate(row.at("of_copy"));
  }
}

TEST(BenchCommand, OpsOfTheTestsCases) {
  const Json all = bench_json({"kernels", "linear", "--batch", "1", "--largest", "64", "--repetitions", "3"});
  EXPECT_EQ(all.at("what"), "kernels");
  EXPECT_GT(all.at("roofline").at("copy_bytes_moved_per_second").get<double>(), 0);
  const Json& first = all.at("kernels_timed").at(0);
  EXPECT_EQ(all.at("kernels_timed").size(), 2 * 15u) << "nine shapes and six of larger models, both passes";
  EXPECT_EQ(first.at("op"), "linear");
  EXPECT_EQ(first.at("pass"), "forward");
  EXPECT_EQ(first.at("flop"), 2) << "one number by one";
  EXPECT_EQ(first.at("bytes"), 4 * 4) << "x, w, b and y";
  for (const Json& line : all.at("kernels_timed")) {
    EXPECT_LE(line.at("least_seconds").get<double>(), line.at("seconds").get<double>());
    EXPECT_NEAR(line.at("flop_per_second").get<double>() * line.at("seconds").get<double>(), line.at("flop"),
                1e-9 * line.at("flop").get<double>());
    EXPECT_GT(line.at("of_roofline").get<double>(), 0);
  }
  EXPECT_NE(refusal({"bench", "kernels", "linaer"}).find("did you mean 'linear'?"), std::string::npos);
}

// The numbers of the committed file, whatever library this is linked with.
TEST(BenchCommand, CountsAreThoseOfTheTable) {
  const Json table = read_json_file(ITO_SOURCE_DIR "/docs/kernel_counts.json");
  for (const std::string precision : {"fp32", "bf16"}) {
    const Json all =
        bench_json({"kernels", "--counts", "--batch", table.at("images").dump(), "--precision", precision});
    EXPECT_EQ(all.at("counted").size(), table.at(precision).size());
    EXPECT_EQ(all.at("counted"), table.at(precision))
        << "python3 tools/static_bars figures --counts-of build/ito-cpu renews docs/kernel_counts.json";
  }
  EXPECT_NE(refusal({"bench", "rows", "--counts"}).find("only kernels has counts"), std::string::npos);
}

// Two images of jit-b-16 and dit-xl-2, the first of each op's sizes: numbers of 4 bytes, each tensor once. What the
// backward was left by the forward counts too, a parameter beside its gradient, a table of positions once.
TEST(BenchCommand, CountsOfTransformersByHand) {
  const double tokens = 2 * 288, x = tokens * 768, row = 2 * 768, gelu = 2 * 256 * 4608.0, hidden = tokens * 2048;
  const double image = 2 * 256 * 256 * 3.0, own = 2 * 256 * 768.0, front = 2 * 32 * 768.0, table = 32 * 768;
  struct Expected {
    const char *op, *sizes;
    double forward, backward;
  };
  const Expected all[] = {
      {"layer_norm", "288x768, weight, scale and shift", 2 * x + 2 * row + 768 + tokens,
       3 * x + 2 * (2 * row) + 2 * 768 + tokens},
      {"gated_sum", "288x768", 3 * x + row, 3 * x + 2 * row},
      {"gelu", "256x4608, tanh", 2 * gelu, 3 * gelu},
      {"gated_silu", "4096 to 2048", 3 * hidden, 5 * hidden},
      {"rope", "288 tokens, 12 heads of 64", 2 * x + 288 * 64, 2 * x + 288 * 64},
      {"add_table", "256x768", 2 * own + 256 * 768, 2 * own},
      {"patchify", "256x256x3 in 16x16", 2 * image, 2 * image},
      {"unpatchify", "256x256x3 in 16x16", 2 * image, 2 * image},
      {"add_context", "32 before 256x768", own + row + table + own + front, own + front + own + row + 2 * table},
      {"drop_context", "32 before 256x768", own + front + own, own + own + front},
  };
  for (const Expected& e : all) {
    const Json counted = bench_json({"kernels", e.op, "--counts", "--batch", "2"}).at("counted");
    EXPECT_EQ(counted.at(0).at("sizes"), e.sizes);
    EXPECT_EQ(counted.at(0).at("bytes").get<double>(), 4 * e.forward) << e.op;
    EXPECT_EQ(counted.at(1).at("pass"), "backward");
    EXPECT_EQ(counted.at(1).at("bytes").get<double>(), 4 * e.backward) << e.op;
    EXPECT_EQ(counted.at(0).at("flop"), 0) << "no product of matrices";
  }
}

// In place of the peer: a program that answers every line in 3 seconds of its own account.
TEST(BenchCommand, TakesTurnsWithAPeer) {
  const TempFolder folder;
  const std::string peer = folder.write("peer.py",
                                        "import sys\nfor line in sys.stdin:\n"
                                        "    print('{\"seconds\": 3, \"what\": \"%s\"}' % line.strip(), flush=True)\n");
  const Json all =
      bench_json({"sample", "--batch", "2", "--repetitions", "3", "--against", "pytorch", "--peer-script", peer});
  EXPECT_EQ(all.at("pytorch").at("seconds"), 3);
  EXPECT_EQ(all.at("pytorch").at("answer").at("what"), "sample 2");
  EXPECT_NEAR(all.at("ratio").at("median").get<double>() * all.at("ours").at("seconds").get<double>(), 3, 1e-9);
  const std::string broken = folder.write("broken.py", "pass\n");
  EXPECT_NE(refusal({"bench", "sample", "--batch", "2", "--against", "pytorch", "--peer-script", broken})
                .find("broken.py ended at 'sample 2'"),
            std::string::npos);
}

// A peer is told the network itself, at the size that ours has, whatever its architecture.
TEST(BenchCommand, TellsThePeerTheNetwork) {
  const TempFolder folder;
  const std::string peer =
      folder.write("peer.py",
                   "import json, os, sys\nfor line in sys.stdin:\n"
                   "    told = {'config': json.loads(sys.argv[1]), 'more': sys.argv[2:]}\n"
                   "    told.update(seconds=1, processor_seconds=2, threads=os.environ['OMP_NUM_THREADS'])\n"
                   "    print(json.dumps(told), flush=True)\n");
  for (const std::string model : {"jit-tiny", "demo"}) {
    const Json all =
        bench_json({"sample", "--model", model, "--size", "8", "--batch", "1", "--repetitions", "1", "--precision",
                    "bf16", "--threads", "1", "--against", "pytorch", "--peer-script", peer});
    const Json& told = all.at("pytorch").at("answer");
    EXPECT_EQ(told.at("config").at("_class_name"), model == "demo" ? "UNet2DModel" : "JiTTransformer2DModel");
    EXPECT_EQ(told.at("config").at("sample_size"), 8);
    EXPECT_EQ(told.at("more"), Json({"--precision", "bf16"}));
    EXPECT_EQ(told.at("threads"), "1");
    const Json& processor = all.at("processor");  // ours of one thread is its time at most; 1.1: and of one step
    EXPECT_EQ(processor.at("pytorch").at("seconds"), 2);
    EXPECT_NEAR(processor.at("ratio").at("median").get<double>() * processor.at("ours").at("seconds").get<double>(), 2,
                1e-9);
    EXPECT_GT(processor.at("ours").at("seconds").get<double>(), 0);
    EXPECT_LE(processor.at("ours").at("seconds").get<double>(), 1.1 * all.at("ours").at("seconds").get<double>());
  }
}

TEST(BenchCommand, StepsOfTrainingAndSampling) {
  for (const char* what : {"train", "sample"}) {
    const Json line = bench_json({what, "--batch", "2", "--repetitions", "3", "--largest", "64"});
    EXPECT_GT(line.at("network_flop").get<double>(), 0);
    EXPECT_GT(line.at("mfu").get<double>(), 0);
    EXPECT_EQ(line.at("what"), what);
    EXPECT_EQ(line.at("model"), "demo");
    EXPECT_EQ(line.at("precision"), "fp32");
    EXPECT_EQ(line.at("repetitions"), 3);
    const double seconds = line.at("seconds").get<double>();
    EXPECT_LE(line.at("least_seconds").get<double>(), seconds);
    EXPECT_LE(seconds, line.at("most_seconds").get<double>());
    EXPECT_NEAR(line.at("images_per_second").get<double>() * seconds, 2, 1e-9);
    EXPECT_EQ(line.at("bytes_beside_allocations"), 0) << "only a GPU tells";
  }
}

}  // namespace
}  // namespace ito
