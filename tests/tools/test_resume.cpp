// SPDX-License-Identifier: Apache-2.0
// A run that is killed, however often and wherever, and resumed ends with the files of one that was not.
#include <list>
#include <random>

#include "engine/checkpoint/names.h"
#include "engine/checkpoint/snapshot.h"
#include "tests/tools/training_run.h"

namespace ito {
namespace {

using Strings = std::vector<std::string>;

const std::set<std::string> kCheckpointFiles{"ito_state.safetensors", "level_statistics.json",
                                             "model_index.json",      "scheduler/scheduler_config.json",
                                             "unet/config.json",      "unet/diffusion_pytorch_model.safetensors"};

Strings resume(Strings more = {}) {
  more.insert(more.begin(), "--resume");
  return more;
}

// One batch in five is poisoned, so that the counts of skipped steps and what the log shows of the last applied step
// have to survive as well; a line of the log covers three steps, so that most checkpoints hold half a running mean.
TEST(Resume, AfterManyKillsEveryFileIsThatOfAnUninterruptedRun) {
  constexpr int kSteps = 120, kKills = 30;
  const Strings options = training_options(
      kSteps, {"--checkpoint-every", "1", "--keep-last", "2", "--keep-every", "50", "--sample-every", "40"});
  TrainingRun whole({3}), killed({3});
  ASSERT_EQ(whole.run(options), 0) << whole.errors();

  std::mt19937 random(1);
  const auto microseconds = [&](int most) { return std::chrono::microseconds(random() % most); };
  Strings resumed = options;
  resumed.push_back("--resume");
  int kills = 0, inside_a_write = 0;
  while (kills < kKills) {
    const std::set<std::string> before = killed.checkpoints();
    killed.start(resumed);
    const int kind = static_cast<int>(random() % 4);
    if (kind == 0) {  // anywhere: in the start-up, while the checkpoint is read, the log cut
      std::this_thread::sleep_for(microseconds(100000));
    } else {
      ASSERT_TRUE(killed.wait_until([&] { return killed.checkpoints() != before; })) << killed.errors();
      if (kind != 1) killed.wait_until([&] { return killed.has_leftovers(); });
      std::this_thread::sleep_for(microseconds(kind == 1 ? 8000 : 3000));
    }
    if (killed.kill_and_wait(SIGKILL) != 1000 + SIGKILL) break;  // it was done
    ++kills;
    if (killed.has_leftovers()) ++inside_a_write;
    // What carries a checkpoint's name is whole, neither half written nor half removed.
    for (const std::string& name : killed.checkpoints())
      EXPECT_EQ(files_below(killed.path(name)), kCheckpointFiles) << name << " after kill " << kills;
    if (killed.has("latest")) {
      std::string latest = read_bytes(killed.path("latest"));
      latest.pop_back();
      // Never half a name; what it names goes only after a newer name is on the disk.
      EXPECT_TRUE(killed.has(latest + "/ito_state.safetensors")) << "latest names " << latest;
    }
  }
  EXPECT_GE(kills, 25) << "the run was over too soon for the test to mean much";
#if defined(__SANITIZE_ADDRESS__)
  const int enough = 3;  // the rest of a step is slower, a write is not
#else
  const int enough = 8;
#endif
  EXPECT_GE(inside_a_write, enough) << "of " << kills << " kills";
  ASSERT_EQ(killed.run(resumed), 0) << killed.errors();
  std::printf("%d kills, %d of them inside a write\n", kills, inside_a_write);
  EXPECT_EQ(whole.names(), killed.names());
  expect_equal_folders(whole.path(), killed.path(), {"timings.jsonl"});
}

// From every step once: the one before a skipped step that is logged among them, whose line shows the EMA decay of the
// last applied step, and those in the middle of a running mean.
TEST(Resume, FromEveryStepGivesTheSameFiles) {
  constexpr int kSteps = 12;
  TrainingRun whole({3});
  ASSERT_EQ(whole.run(training_options(kSteps, {"--checkpoint-every", "1", "--keep-last", "0", "--ema",
                                                "0.99,sigma-rel-0.1,0.5", "--ema-snapshots", "4"})),
            0)
      << whole.errors();
  const std::string expected = whole.beside("expected");
  std::filesystem::copy(whole.path(), expected, std::filesystem::copy_options::recursive);
  const std::set<std::string> checkpoints = whole.checkpoints();
  for (auto first = checkpoints.begin(); first != checkpoints.end(); ++first) {
    for (auto later = std::next(first); later != checkpoints.end(); ++later)
      std::filesystem::remove_all(whole.path(*later));
    ASSERT_EQ(whole.run(resume()), 0) << whole.errors();
    expect_equal_folders(expected, whole.path(), {"timings.jsonl"});
    if (HasFailure()) FAIL() << "resumed from " << *first;
  }
}

TEST(Resume, WithOtherThreadsMicroBatchAndIntervalsGivesTheSameBits) {
  const Strings options = training_options(60, {"--sample-every", "30"});
  TrainingRun whole, resumed;
  ASSERT_EQ(whole.run(options), 0) << whole.errors();
  Strings with_checkpoints = options;
  with_checkpoints.insert(with_checkpoints.end(), {"--checkpoint-every", "1"});
  resumed.start(with_checkpoints);
  ASSERT_TRUE(resumed.wait_until([&] { return resumed.checkpoints().size() >= 3; }));
  ASSERT_EQ(resumed.kill_and_wait(SIGKILL), 1000 + SIGKILL);
  ASSERT_FALSE(resumed.has("checkpoint-000060"));
  ASSERT_EQ(resumed.run(resume({"--threads", "3", "--micro-batch", "4", "--checkpoint-every", "25"})), 0)
      << resumed.errors();
  expect_equal_folders(whole.path("checkpoint-000060"), resumed.path("checkpoint-000060"));
  for (const char* file : {"metrics.jsonl", "loss.svg", "samples-000030.png", "samples-000060.png", "latest"})
    EXPECT_TRUE(read_bytes(whole.path(file)) == read_bytes(resumed.path(file))) << file << " differs";
}

TEST(Resume, AFinishedRunStaysAsItIs) {
  TrainingRun done;
  ASSERT_EQ(done.run(training_options(6)), 0) << done.errors();
  const std::string copy = done.beside("copy");
  std::filesystem::copy(done.path(), copy, std::filesystem::copy_options::recursive);
  ASSERT_EQ(done.run(resume()), 0) << done.errors();
  expect_equal_folders(copy, done.path());
}

TEST(Resume, RefusesWhatWouldGiveOtherNumbers) {
  TrainingRun done;
  ASSERT_EQ(done.run(training_options(6)), 0) << done.errors();
  write_images(done.beside("other.safetensors"), 0.7f, {});
  write_small_model(done.beside("other.json"), 6);
  const std::string metrics = read_bytes(done.path("metrics.jsonl")), config = read_bytes(done.path("config.json"));
  const struct {
    Strings options;
    std::string message;
  } cases[] = {
      {{"--seed", "8"}, "--seed 8: run/checkpoint-000006 was trained with seed 7;"},
      {{"--data", "other.safetensors"}, "--data: the images and labels have fingerprint "},
      {{"--model", "other.json"}, "--model: its block_out_channels is [6,8], that of run/checkpoint-000006 [4,8];"},
      {{"--batch", "4"}, "--batch 4: run/checkpoint-000006 was trained with 8;"},
      {{"--lr", "2e-3"}, "--lr 0.002: run/checkpoint-000006 was trained with 0.001;"},
      {{"--adam-betas", "0.9", "0.999"},
       "--adam-betas [0.9,0.999]: run/checkpoint-000006 was trained with [0.95,0.999]"},
      {{"--prediction-type", "epsilon"},
       "--prediction-type \"epsilon\": run/checkpoint-000006 was trained with \"sample\""},
      {{"--ema", "0.9999,0.99"}, "--ema \"0.9999,0.99\": run/checkpoint-000006 was trained with \"\";"},
      {{"--steps", "9"}, "--steps 9: run/checkpoint-000006 was trained with 6;"},  // the cosine would stretch
  };
  for (const auto& c : cases) {
    EXPECT_EQ(done.run(resume(c.options)), 2) << c.message;
    EXPECT_NE(done.errors().find("ito: " + c.message), std::string::npos) << done.errors() << "expected " << c.message;
  }
  EXPECT_EQ(done.run(training_options(6)), 2);
  EXPECT_NE(done.errors().find("holds a run already"), std::string::npos) << done.errors();
  EXPECT_EQ(read_bytes(done.path("metrics.jsonl")), metrics);
  EXPECT_EQ(read_bytes(done.path("config.json")), config);

  // An edited config.json does not get past the hash in the checkpoint.
  Json edited = read_json_file(done.path("config.json"));
  edited["lr"] = 5e-3;
  write_json_file(done.path("config.json"), edited);
  EXPECT_EQ(done.run(resume()), 2);
  EXPECT_NE(done.errors().find("configuration hash"), std::string::npos) << done.errors();
}

// With a constant learning rate the first steps do not know how many there will be.
TEST(Resume, AConstantLearningRateCanBeContinuedFurther) {
  TrainingRun whole, longer;
  ASSERT_EQ(whole.run(training_options(12, {"--lr-schedule", "constant"})), 0) << whole.errors();
  ASSERT_EQ(longer.run(training_options(6, {"--lr-schedule", "constant"})), 0) << longer.errors();
  ASSERT_EQ(longer.run(resume({"--steps", "12"})), 0) << longer.errors();
  expect_equal_folders(whole.path("checkpoint-000012"), longer.path("checkpoint-000012"));
  EXPECT_EQ(longer.run(resume({"--steps", "9"})), 2);
  EXPECT_NE(longer.errors().find("--steps 9: run/checkpoint-000012 is past it"), std::string::npos) << longer.errors();
}

TEST(Resume, PassesOverACheckpointThatIsNotWhole) {
  TrainingRun whole, damaged;
  const Strings options = training_options(12, {"--checkpoint-every", "4"});
  ASSERT_EQ(whole.run(options), 0) << whole.errors();
  ASSERT_EQ(damaged.run(options), 0) << damaged.errors();
  const std::string state = damaged.path("checkpoint-000012/ito_state.safetensors");
  std::filesystem::resize_file(state, std::filesystem::file_size(state) - 1);
  std::filesystem::remove(damaged.path("checkpoint-000008/scheduler/scheduler_config.json"));
  ASSERT_EQ(damaged.run(resume()), 0) << damaged.errors();
  EXPECT_NE(damaged.errors().find("going on from run/checkpoint-000004\n"), std::string::npos) << damaged.errors();
  expect_equal_folders(whole.path(), damaged.path(), {"timings.jsonl"});

  write_json_file(damaged.path("latest"), "");  // `""`: names nothing that is there
  EXPECT_EQ(damaged.run({"run"}, "inspect"), 0) << damaged.errors();
}

struct InstructionSetCap {
  explicit InstructionSetCap(const char* isa) { setenv("ONEDNN_MAX_CPU_ISA", isa, 1); }
  ~InstructionSetCap() { unsetenv("ONEDNN_MAX_CPU_ISA"); }
};

std::string kernels_of(const TrainingRun& run, const std::string& checkpoint) {
  return read_kernels(SafetensorsFile::open(run.path(checkpoint + "/ito_state.safetensors")));
}

// The library's version, which is not ours to know.
std::string library_of(const std::string& kernels) {
  const size_t comma = kernels.find(", ", kernels.find(", ") + 2);
  return kernels.substr(0, comma);
}

class Kernels : public testing::Test {
 protected:
  void SetUp() override {
    const Strings options = training_options(12, {"--checkpoint-every", "6"});
    ASSERT_EQ(native_.run(options), 0) << native_.errors();
    native_kernels_ = kernels_of(native_, "checkpoint-000012");
    if (native_kernels_.find(", AVX2, ") != std::string::npos) GTEST_SKIP() << "there is less than AVX2 to choose only";
    const InstructionSetCap cap("AVX2");
    ASSERT_EQ(whole_.run(options), 0) << whole_.errors();
    ASSERT_EQ(run_.run(options), 0) << run_.errors();
    std::filesystem::remove_all(run_.path("checkpoint-000012"));
    kernels_ = kernels_of(run_, "checkpoint-000006");
  }

  TrainingRun native_, whole_, run_;
  std::string native_kernels_, kernels_;
};

TEST_F(Kernels, OtherOnesAreRefusedAndTheSameGoOn) {
  EXPECT_EQ(library_of(kernels_), library_of(native_kernels_));
  EXPECT_TRUE(kernels_.starts_with(library_of(kernels_) + ", AVX2, plans ")) << kernels_;
  const std::string config = read_bytes(run_.path("config.json")), metrics = read_bytes(run_.path("metrics.jsonl"));
  EXPECT_EQ(run_.run(resume()), 2);
  EXPECT_EQ(run_.errors(), "ito: run/checkpoint-000006: was trained with the kernels of " + kernels_ +
                               "; here they are " + native_kernels_ +
                               ", which may round differently; set ONEDNN_MAX_CPU_ISA=AVX2 to have the former, or go "
                               "on with these (--other-kernels)\n");
  EXPECT_EQ(read_bytes(run_.path("config.json")), config) << "a refusal changed the run";
  EXPECT_EQ(read_bytes(run_.path("metrics.jsonl")), metrics) << "a refusal changed the run";
  const InstructionSetCap cap("AVX2");
  ASSERT_EQ(run_.run(resume()), 0) << run_.errors();
  expect_equal_folders(whole_.path(), run_.path(), {"timings.jsonl"});
}

TEST_F(Kernels, OtherOnesAreTakenWhenAskedFor) {
  ASSERT_EQ(run_.run(resume({"--other-kernels"})), 0) << run_.errors();
  EXPECT_NE(run_.errors().find("ito: warning: run/checkpoint-000006: was trained with the kernels of " + kernels_ +
                               "; here they are " + native_kernels_ + ", which it goes on with\n"),
            std::string::npos)
      << run_.errors();
  EXPECT_EQ(read_json_file(run_.path("config.json")).at("other_kernels"), true);
  EXPECT_EQ(kernels_of(run_, "checkpoint-000012"), native_kernels_);
  EXPECT_EQ(kernels_of(run_, "checkpoint-000006"), kernels_);
}

TEST_F(Kernels, TheAdviceIsWhatHelps) {
  {
    const InstructionSetCap cap("AVX2");
    EXPECT_EQ(native_.run(resume()), 2);
    EXPECT_NE(native_.errors().find("; unset ONEDNN_MAX_CPU_ISA to have the former, or go on"), std::string::npos)
        << native_.errors();
  }
  // A library of another version cannot be had by asking for it.
  const std::string state = run_.path("checkpoint-000006/ito_state.safetensors");
  const SafetensorsFile file = SafetensorsFile::open(state);
  std::list<std::vector<uint8_t>> bytes;
  SafetensorsWriter writer;
  for (const std::string& name : file.names()) {
    if (name == "kernels") continue;
    bytes.push_back(file.read_raw(name));
    writer.add_raw(name, file.entry(name).type, file.entry(name).shape, bytes.back());
  }
  const std::string other = "cpu, oneDNN 99.1.2, AVX2, plans 0123456789abcdef";
  writer.add_u8("kernels", {static_cast<int64_t>(other.size())}, std::vector<uint8_t>(other.begin(), other.end()));
  writer.write(state);
  EXPECT_EQ(run_.run(resume()), 2);
  EXPECT_EQ(run_.errors(), "ito: run/checkpoint-000006: was trained with the kernels of " + other + "; here they are " +
                               native_kernels_ +
                               ", which may round differently; resume where they are the same, or go on with these "
                               "(--other-kernels)\n");
}

}  // namespace
}  // namespace ito
