// SPDX-License-Identifier: Apache-2.0
// Standard streams that go away, are closed from the start or are a terminal: what a run does then, and what reaches
// the terminal.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>

#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

// A program whose standard output and error are these descriptors.
class Child {
 public:
  Child(const Words& command, int out, int err) {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ != 0) return;
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    setenv("OMP_WAIT_POLICY", "passive", 1);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (int other = 3; other < 64; ++other) close(other);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  ~Child() {
    if (process_ > 0) end_by(SIGKILL);
  }
  void send(int number) const { kill(process_, number); }
  int end_by(int number) {
    send(number);
    return wait();
  }
  int wait() {  // the exit code, or 1000 + the signal
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t process_ = -1;
};

struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0); }
  ~Pipe() {
    shut(0);
    shut(1);
  }
  void shut(int end) {
    if (ends[end] >= 0) close(std::exchange(ends[end], -1));
  }
  std::string line() const {
    std::string text;
    for (char c = 0; read(ends[0], &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  int ends[2] = {-1, -1};
};

struct Null {
  ~Null() { close(descriptor); }
  int descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
};

Words training(const TinyRun& tiny, const std::string& out, const std::string& steps, const std::string& program) {
  Words words = tiny.train + Words{"--out", tiny / out, "--steps", steps, "--threads", "1"};
  words.insert(words.begin(), program_path(program));
  return words;
}

TEST(Streams, ARunOutlivesTheReaderOfItsProgress) {
  for (const char* program : {"ito", "ito-cpu"}) {
    const TinyRun tiny;
    const Null null;
    Pipe progress;
    Child child(training(tiny, "run", "150", program), null.descriptor, progress.ends[1]);
    progress.shut(1);
    EXPECT_NE(progress.line().find("12 images of 8 x 8"), std::string::npos);
    progress.shut(0);
    EXPECT_EQ(child.wait(), 0) << program;
    EXPECT_EQ(read_bytes(tiny / "run/latest"), "checkpoint-000150\n") << program;
  }
}

TEST(Streams, AnInterruptWithoutAReaderSaves) {
  const TinyRun tiny;
  Pipe both;
  Child child(training(tiny, "run", "10000000", "ito"), both.ends[1], both.ends[1]);
  both.shut(1);
  both.line();
  both.shut(0);
  for (int i = 0; i < 20000 && read_bytes(tiny / "run/metrics.jsonl").empty(); ++i) usleep(1000);
  EXPECT_EQ(child.end_by(SIGINT), 128 + SIGINT);
  EXPECT_TRUE(std::filesystem::exists(tiny / "run/latest"));
}

// As if the signal had ended it: what a shell takes for quiet.
TEST(Streams, ResultsWithoutAReaderAreNoError) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "3"}).exit_code, 0);
  const std::string drawn = tiny / "drawn", run = tiny / "run";
  ASSERT_EQ(run_ito({"sample", "--checkpoint", run, "--out", drawn, "--count", "4", "--steps", "2"}).exit_code, 0);
  const Words commands[] = {
      {"inspect", run, "--ops", "--tensors"},  // more than a buffer
      {"inspect", run, "--json"},
      {"--help"},
      {"eval", "--samples", drawn + "/samples.safetensors", "--data", tiny.images, "--projections", "3"},
      {"sample", "--checkpoint", run, "--out", drawn, "--count", "1", "--steps", "1"},
      {"convert", "--from", run, "--out", tiny / "converted"},
      {"bench", "ceilings", "--largest", "16", "--repetitions", "1", "--json"},
      tiny.train + Words{"--out", tiny / "again", "--steps", "3"}};
  for (Words words : commands) {
    SCOPED_TRACE(words[0]);
    words.insert(words.begin(), program_path("ito"));
    Pipe results;
    results.shut(0);
    const std::string messages = tiny / "messages";
    const int file = open(messages.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    Child child(words, results.ends[1], file);
    close(file);
    EXPECT_EQ(child.wait(), 128 + SIGPIPE);
    EXPECT_EQ(read_bytes(messages).find("ito:"), std::string::npos) << read_bytes(messages);
  }
  EXPECT_EQ(read_bytes(tiny / "again/latest"), "checkpoint-000003\n");
}

TEST(Streams, NoFileTakesTheNumberOfAClosedOne) {
  const TinyRun tiny;
  ASSERT_EQ(run_child(training(tiny, "open", "40", "ito")).exit_code, 0);
  int number = 0;
  for (const char* program : {"ito", "ito-cpu"})
    for (const char* closed : {"<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"}) {
      SCOPED_TRACE(std::string(program) + " " + closed);
      const std::string name = "closed" + std::to_string(number++);
      Words words = training(tiny, name, "40", program);
      words.insert(words.begin(), {"/bin/sh", "-c", std::string("exec \"$0\" \"$@\" ") + closed});
      EXPECT_EQ(run_child(words).exit_code, 0);
      EXPECT_EQ(read_bytes(tiny / name + "/metrics.jsonl"), read_bytes(tiny / "open/metrics.jsonl"));
      EXPECT_EQ(read_json_lines(tiny / name + "/timings.jsonl").size(), 20u);
    }
}

// A terminal of so many columns, and what a command writes to it.
class Terminal {
 public:
  explicit Terminal(int columns) : side_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(grantpt(side_) | unlockpt(side_), 0);
    end_ = open(ptsname(side_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    resize(columns);
  }
  ~Terminal() {
    close(side_);
    if (end_ >= 0) close(end_);
  }
  int end() const { return end_; }
  void resize(int columns) const {
    struct winsize size {};
    size.ws_col = static_cast<unsigned short>(columns);
    EXPECT_EQ(ioctl(side_, TIOCSWINSZ, &size), 0);
  }
  // The lines of progress that come in this time, each of them that was written over too.
  std::vector<std::string> updates(double seconds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    EXPECT_EQ(fcntl(side_, F_SETFL, O_NONBLOCK), 0);
    std::string text;
    while (std::chrono::steady_clock::now() < until) {
      char bytes[4096];
      const ssize_t got = read(side_, bytes, sizeof(bytes));
      if (got > 0)
        text.append(bytes, static_cast<size_t>(got));
      else
        usleep(10000);
    }
    all_ += text;
    std::vector<std::string> found;
    std::string line;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text.compare(i, 3, "\033[K") == 0) {
        i += 2;
      } else if (text[i] == '\r' || text[i] == '\n') {
        if (!line.empty() && line.find("images of") == std::string::npos) found.push_back(line);
        line.clear();
      } else {
        line += text[i];
      }
    }
    return found;
  }
  const std::string& all() const { return all_; }

 private:
  int side_, end_;
  std::string all_;
};

struct Kind {
  explicit Kind(const char* name) { setenv("TERM", name, 1); }
  ~Kind() { unsetenv("TERM"); }
};

TEST(Progress, FitsTheTerminalAndFollowsItsSize) {
  const Kind kind("xterm");
  const TinyRun tiny;
  Terminal terminal(120);
  Child child(training(tiny, "run", "10000000", "ito"), terminal.end(), terminal.end());
  std::vector<std::string> shown = terminal.updates(2);
  ASSERT_GT(shown.size(), 2u) << terminal.all();
  EXPECT_TRUE(shown.back().starts_with("[....................] training ")) << shown.back();
  EXPECT_TRUE(shown.back().ends_with(" left")) << shown.back();
  for (const int columns : {72, 45, 14, 1}) {
    terminal.resize(columns);
    terminal.updates(0.5);  // one may have been on its way
    shown = terminal.updates(1);
    EXPECT_EQ(shown.size() > 2, columns > 1) << columns;
    for (const std::string& line : shown) {
      EXPECT_LT(line.size(), static_cast<size_t>(columns)) << line;
      const size_t slash = line.find('/');
      if (slash == std::string::npos)
        EXPECT_EQ(line, "0%");
      else
        EXPECT_EQ(line.substr(slash, 9), "/10000000") << "a number that was cut is another number";
    }
  }
  EXPECT_EQ(child.end_by(SIGINT), 128 + SIGINT);
}

TEST(Progress, OfSamplingFitsToo) {
  const Kind kind("xterm");
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "3"}).exit_code, 0);
  Terminal terminal(40);
  Child child({program_path("ito"), "sample", "--checkpoint", tiny / "run", "--out", tiny / "drawn", "--count", "40000",
               "--threads", "1"},
              terminal.end(), terminal.end());
  const std::vector<std::string> shown = terminal.updates(2.5);
  ASSERT_GT(shown.size(), 2u) << terminal.all();
  for (const std::string& line : shown) EXPECT_LT(line.size(), 40u) << line;
}

// It cannot write over a line: one now and then, as in a log.
TEST(Progress, OnADumbTerminalHasNoEscapes) {
  const Kind kind("dumb");
  const TinyRun tiny;
  Terminal terminal(50);
  Child child(training(tiny, "run", "10000000", "ito"), terminal.end(), terminal.end());
  const std::vector<std::string> shown = terminal.updates(2.5);
  ASSERT_EQ(shown.size(), 1u) << terminal.all();
  EXPECT_LT(shown[0].size(), 50u) << shown[0];
  EXPECT_TRUE(shown[0].starts_with("training 1/10000000")) << shown[0];
  EXPECT_EQ(terminal.all().find('\033'), std::string::npos) << terminal.all();
}

const std::string kEscapes = "\033]0;title\a \177 \xc2\x9b \xff \r\n";
const std::string kShown = "\\x1b]0;title\\x07 \\x7f \\xc2\\x9b \\xff \\x0d\\x0a";

void expect_printable(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool newline = text[i] == '\n';
    EXPECT_TRUE(newline || (byte >= 0x20 && byte < 0x7f)) << "byte " << int{byte} << " at " << i << " of " << text;
  }
}

TEST(Messages, OfNamesWithEscapesAreOneLineWithoutThem) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "3"}).exit_code, 0);
  const std::string odd = tiny.folder.write(kEscapes + ".json", R"({"block_out_channels": "\u001b\u009b"})");
  const Words out{"--out", tiny / "out"};
  const Words refused[] = {
      {kEscapes},
      {kEscapes, "--device", "tpu" + kEscapes},
      {"train", kEscapes},
      {"train", "--" + kEscapes},
      {"train", "--batch", kEscapes},
      {"train", "--flip=" + kEscapes},
      tiny.train + out + Words{"--data", kEscapes},
      tiny.train + out + Words{"--model", kEscapes},
      tiny.train + out + Words{"--scheduler", kEscapes},
      tiny.train + out + Words{"--precision", kEscapes},
      tiny.train + out + Words{"--lr-schedule", kEscapes},
      tiny.train + out + Words{"--config", odd},
      tiny.train + Words{"--out", odd},
      tiny.train + Words{"--out", odd + "/" + kEscapes},
      {"sample", "--checkpoint", kEscapes, "--out", tiny / "out"},
      {"sample", "--checkpoint", tiny / "run", "--out", odd},
      {"sample", "--checkpoint", tiny / "run", "--out", tiny / "out", "--set", kEscapes},
      {"sample", "--checkpoint", tiny / "run", "--out", tiny / "out", "--sampler", kEscapes},
      {"predict", "--checkpoint", tiny / "run", "--input", odd, "--output", tiny / "out"},
      {"inspect", odd},
      {"inspect", kEscapes},
      {"convert", "--from", kEscapes, "--out", tiny / "out"},
      {"eval", "--samples", kEscapes, "--data", tiny.images},
      {"bench", kEscapes},
      {"bench", "train", "--model", kEscapes},
  };
  for (const Words& words : refused) {
    SCOPED_TRACE(words[0] + " " + words.back());
    expect_printable(refusal(words));
  }
  EXPECT_NE(refusal({"inspect", kEscapes}).find(kShown), std::string::npos) << refusal({"inspect", kEscapes});
}

TEST(Messages, OfWorkThatIsDoneHaveNoneEither) {
  const TinyRun tiny;
  const std::string data = tiny / ("data" + kEscapes), run = tiny / ("run" + kEscapes), drawn = tiny / ("d" + kEscapes);
  std::filesystem::rename(tiny.images, data);
  std::filesystem::rename(data + "/class1", data + "/class" + kEscapes);
  const Words commands[] = {
      tiny.train + Words{"--data", data, "--out", run, "--steps", "2", "--warmup", "9", "--lr-schedule", "constant"},
      {"train", "--out", run, "--resume", "--steps", "3"},
      {"inspect", run},
      {"inspect", run, "--json"},
      {"sample", "--checkpoint", run, "--out", drawn, "--count", "4", "--steps", "2", "--strip"},
      {"sample", "--checkpoint", run, "--out", drawn, "--count", "4", "--steps", "2"},
      {"eval", "--samples", drawn + "/samples.safetensors", "--data", data, "--projections", "3"},
      {"eval", "--samples", drawn + "/samples.safetensors", "--data", data, "--projections", "3", "--json"},
      {"convert", "--from", run, "--out", tiny / ("c" + kEscapes)},
  };
  for (const Words& words : commands) {
    SCOPED_TRACE(words[0]);
    const ChildResult result = run_ito(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    expect_printable(result.out);
    expect_printable(result.err);
  }
}

}  // namespace
}  // namespace ito
