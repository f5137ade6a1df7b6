// SPDX-License-Identifier: Apache-2.0
// Where a run's files stand: a run that is resumed from another directory, names that are not UTF-8, folders that would
// get into each other's way, pictures of steps that are lost.
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

// `ito` started in a directory.
ChildResult run_in(const std::string& directory, const Words& words) {
  Words command{"/bin/sh", "-c", R"(cd "$0" && exec "$@")", directory, program_path("ito")};
  command.insert(command.end(), words.begin(), words.end());
  return run_child(command);
}

// A project with model, images and schedule under relative names; what trains on them, but for --out.
struct Project {
  Project() {
    fs::create_directories(place / "project/theirs");
    fs::rename(tiny.images, place / "project/images");
    fs::rename(tiny.model, place / "project/model.json");
    place.write("project/theirs/scheduler_config.json", R"({"num_train_timesteps": 700})");
  }
  ChildResult train(const std::string& out) const {
    return run_in(place / "project", words + Words{"--out", out, "--steps", "2"});
  }
  std::string operator/(const std::string& name) const { return place / name; }

  TinyRun tiny;
  TempFolder& place = tiny.folder;
  Words words = tiny.train + Words{"--data",      "images", "--model",       "model.json",
                                   "--scheduler", "theirs", "--lr-schedule", "constant"};
};

Words resume(const std::string& out, int steps) {
  return {"train", "--out", out, "--resume", "--steps", std::to_string(steps)};
}

TEST(ResumeElsewhere, FindsWhatItsNamesMeant) {
  for (const bool absolute : {false, true}) {
    const Project project;
    fs::create_directories(project / "other/deep");
    const std::string out = absolute ? project / "elsewhere/run" : "../runs/run";
    const std::string run = absolute ? out : project / "runs/run";
    ASSERT_EQ(project.train(out).exit_code, 0) << project.train(out).err;
    int steps = 3;
    for (const std::string& directory : {project / "other/deep", project / "project", std::string("/"), project / ""}) {
      const ChildResult resumed = run_in(directory, resume(run, steps++));
      EXPECT_EQ(resumed.exit_code, 0) << directory << ": " << resumed.err;
    }
    // All of it moved, and nothing that stood at the old names is there.
    fs::create_directories(project / "moved");
    for (const char* name : {"project", "other", "elsewhere", "runs"})
      if (fs::exists(project / name)) fs::rename(project / name, project / ("moved/" + std::string(name)));
    const std::string moved = project / "moved" + run.substr((project / "").size() - 1);
    const ChildResult resumed = run_in(project / "moved/project", resume(moved, steps));
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(read_json_lines(moved + "/metrics.jsonl").back().at("step"), steps);
  }
}

TEST(ResumeElsewhere, TheWordsOfTheCommandLineHoldFromHere) {
  const Project project;
  ASSERT_EQ(project.train("run").exit_code, 0);
  fs::rename(project / "project/images", project / "pictures");
  const ChildResult resumed = run_in(project / "", resume("project/run", 3) + Words{"--data", "pictures"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(run_in("/", resume(project / "project/run", 4)).exit_code, 0) << "each name from where it was given";
}

TEST(ResumeElsewhere, TellsWhereANameIsFrom) {
  const Project project;
  ASSERT_EQ(project.train("run").exit_code, 0);
  const std::string config = read_bytes(project / "project/run/config.json");
  fs::rename(project / "project/images", project / "gone");
  const ChildResult resumed = run_in("/", resume(project / "project/run", 3));
  EXPECT_EQ(resumed.exit_code, 2);
  EXPECT_EQ(resumed.err, "ito: --data images: no such file or folder; the name is from " +
                             (project / "project/run/config.json") +
                             " and holds from the directory where the run was started, " +
                             fs::canonical(project / "project").string() + "; give --data anew\n");
  fs::rename(project / "gone", project / "project/images");
  EXPECT_EQ(read_bytes(project / "project/run/config.json"), config) << "a refusal changed the run";
  // A run from before the directory was told.
  Json old = parse_json(config, "config.json");
  old.erase("started_in");
  write_json_file(project / "project/run/config.json", old);
  const std::string message = run_in("/", resume(project / "project/run", 3)).err;
  EXPECT_NE(message.find("holds from the directory where the run was started; give --data anew"), std::string::npos)
      << message;
  EXPECT_EQ(run_in(project / "project", resume("run", 3)).exit_code, 0);
}

TEST(Names, ThatAreNotUtf8AreKept) {
  const Project project;
  const std::string odd = "\xfc\x62\xe8r \xf0\x9f";
  for (const auto& [from, to] : {std::pair{"images", "images"}, {"model.json", "model"}, {"theirs", "scheduler"}})
    fs::rename(project / "project/" + from, project / "project/" + to + odd);
  const Words words =
      project.words + Words{"--data",          "images" + odd, "--model",   "model" + odd, "--scheduler",
                            "scheduler" + odd, "--out",        "run" + odd, "--steps",     "2"};
  fs::rename(project / "project/model" + odd, project / "project/model" + odd + ".json");
  const ChildResult begun = run_in(project / "project", words + Words{"--model", "model" + odd + ".json"});
  ASSERT_EQ(begun.exit_code, 0) << begun.err;
  const ChildResult here = run_in(project / "project", resume("run" + odd, 3));
  EXPECT_EQ(here.exit_code, 0) << here.err;
  const ChildResult there = run_in("/", resume(project / "project/run" + odd, 4));
  EXPECT_EQ(there.exit_code, 0) << there.err;
  const Json config = read_json_file(project / "project/run" + odd + "/config.json");
  EXPECT_TRUE(config.at("model").at("text").get<std::string>().ends_with("model\\xfcb\\xe8r \\xf0\\x9f.json"))
      << config;
  // --config reads them too, and refuses what is not such a name.
  EXPECT_EQ(run_in("/", {"train", "--config", project / "project/run" + odd + "/config.json", "--out", project / "new",
                         "--steps", "1"})
                .exit_code,
            0);
  for (const char* bad :
       {R"({"text": "e9"})", R"({"hex": "e"})", R"({"hex": "zz"})", R"({"hex": "00"})", R"({"hex": 7})"}) {
    const std::string file = project.place.write("options.json", std::string("{\"model\": ") + bad + "}");
    const std::string message = refusal(project.words + Words{"--out", project / "no", "--config", file});
    EXPECT_EQ(message.substr(message.rfind("; ")), "; expected a text\n") << message;
  }
}

TEST(Out, MayNotBePartOfTheData) {
  const TinyRun tiny;
  fs::create_directory_symlink(tiny.images, tiny / "link");
  fs::create_directories(tiny / "pool/class9");
  fs::create_directory_symlink(tiny / "pool/class9", tiny.images + "/class9");
  const std::pair<std::string, std::string> places[] = {{tiny.images, tiny.images},
                                                        {tiny.images, tiny.images + "/"},
                                                        {tiny.images, tiny.images + "/class0/run"},
                                                        {tiny.images + "/", tiny / "link"},
                                                        {tiny.images, tiny / "link/new/run"},
                                                        {tiny / "link", tiny.images + "/run"},
                                                        {tiny.images, tiny / "images/../images/run"},
                                                        {tiny.images, tiny / "pool/class9/run"}};
  const auto before = files_below(tiny / "");
  for (const auto& [data, out] : places) {
    const std::string message =
        refusal(tiny.train + Words{"--data", data, "--out", out, "--steps", "1", "--warmup", "0"});
    EXPECT_TRUE(message.starts_with("ito: --out " + out + ": is ")) << message;
    EXPECT_NE(message.find("the folder of --data " + data), std::string::npos) << message;
    EXPECT_EQ(fs::exists(out), out.find("run") == std::string::npos) << "a folder was left behind: " << out;
  }
  EXPECT_TRUE(before == files_below(tiny / ""));
  fs::remove(tiny.images + "/class9");
  // Beside it, and named alike.
  EXPECT_EQ(run_ito(tiny.train + Words{"--out", tiny / "images-run", "--steps", "3"}).exit_code, 0);
}

TEST(Out, MayNotBeTheModel) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "3"}).exit_code, 0);
  const std::string model = tiny / "run/checkpoint-000003";
  for (const std::string& out : {model, model + "/more"}) {
    const std::string trained = refusal(tiny.train + Words{"--model", model, "--out", out, "--steps", "3"});
    EXPECT_NE(trained.find("--out " + out + ": is the folder of the model"), std::string::npos) << trained;
    const std::string drawn = refusal({"sample", "--checkpoint", tiny / "run", "--out", out, "--steps", "1"});
    EXPECT_NE(drawn.find("--out " + out + ": is the folder of the model"), std::string::npos) << drawn;
  }
  EXPECT_FALSE(fs::exists(model + "/more"));
  EXPECT_FALSE(fs::exists(model + "/samples.png"));
}

TEST(Pictures, OfStepsThatAreLostGoWhenTheRunIsResumed) {
  const TinyRun tiny;
  const std::string run = tiny / "run";
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", run, "--steps", "6", "--lr-schedule", "constant", "--checkpoint-every",
                                       "2", "--sample-every", "1"})
                .exit_code,
            0);
  fs::remove_all(run + "/checkpoint-000006");
  fs::remove_all(run + "/checkpoint-000004");
  std::ofstream(run + "/samples-7.png") << "not of the run";
  const std::string chart = read_bytes(run + "/loss.svg");
  const ChildResult resumed = run_ito({"train", "--out", run, "--resume", "--steps", "4", "--sample-every", "100"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  std::set<std::string> pictures;
  for (const auto& item : fs::directory_iterator(run))
    if (item.path().extension() == ".png") pictures.insert(item.path().filename().string());
  EXPECT_EQ(pictures,
            (std::set<std::string>{"samples-000001.png", "samples-000002.png", "samples-000004.png", "samples-7.png"}));
  EXPECT_NE(read_bytes(run + "/loss.svg"), chart);
}

}  // namespace
}  // namespace ito
