// SPDX-License-Identifier: Apache-2.0
// ito bench train|sample|data --against pytorch: our peer script (tools/bench/peer_torch_*.py) as a child,
// which takes turns with us: one repetition of each, so that both see the same machine. It is set up and warmed by its
// first command.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>

#include "models/model.h"
#include "tools/commands/bench/data.h"
#include "tools/commands/bench/models.h"
#include "tools/commands/bench/timing.h"
#include "tools/commands/rank_work.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

// A child that answers every line with a line.
class Peer {
 public:
  explicit Peer(const std::vector<std::string>& command) : name_(command.at(1)) {
    int to[2], from[2];
    ITO_CHECK(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0, "pipe: ", strerror(errno));
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    child_ = fork();
    ITO_CHECK(child_ >= 0, "fork: ", strerror(errno));
    if (child_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      execvp(words[0], words.data());
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
    ITO_CHECK(to_ && from_, "fdopen: ", strerror(errno));
    previous_ = signal(SIGPIPE, SIG_IGN);
  }
  ~Peer() {
    fclose(to_);
    fclose(from_);
    waitpid(child_, nullptr, 0);
    signal(SIGPIPE, previous_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  Json run(const std::string& line) {
    std::fprintf(to_, "%s\n", line.c_str());
    std::fflush(to_);
    char* text = nullptr;
    size_t capacity = 0;
    const ssize_t length = getline(&text, &capacity, from_);
    const std::string answer = length > 0 ? std::string(text, static_cast<size_t>(length)) : "";
    free(text);
    ITO_USER_CHECK(!answer.empty(), "--against pytorch: ", name_, " ended at '", line,
                   "'; see its message above, and give a Python that has PyTorch with --peer-python");
    const Json json = parse_json(answer, "the answer of " + name_);
    ITO_USER_CHECK(json.contains("seconds"), "--against pytorch: ", name_, " answered '", line, "' with ", answer);
    return json;
  }

 private:
  std::string name_;
  pid_t child_ = -1;
  FILE *to_ = nullptr, *from_ = nullptr;
  void (*previous_)(int) = SIG_DFL;
};

// The one asked for, or that of the sources: a build folder is in them, or in a folder of them.
std::string script_of(const BenchOptions& o) {
  namespace fs = std::filesystem;
  if (!o.peer_script.empty()) {
    ITO_USER_CHECK(fs::exists(o.peer_script), "--peer-script ", o.peer_script, ": no such file");
    return o.peer_script;
  }
  const char* name = o.what == "data"                      ? "peer_torch_data.py"
                     : std::string(device_name()) == "cpu" ? "peer_torch_cpu.py"
                                                           : "peer_torch_gpu.py";
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path();
  for (const char* folder : {"../tools/bench", "../../tools/bench", "."})
    if (fs::exists(program / folder / name)) return (program / folder / name).lexically_normal().string();
  fail<UserError>("--against pytorch: found no ", name, " near ", program.string(), "; give its path, tools/bench/",
                  name, " of the sources, with --peer-script");
}

// Of the network that we run, at the size that we run it at.
Json config_of(const BenchOptions& o) {
  const Configured configured = model_of(o.model).configured;
  return o.size ? configured.config_for(o.size, o.size) : configured.config;
}

Json ratio_json(const Spread& ratio) {
  return {{"median", ratio.median()},
          {"lower_quartile", ratio.times[ratio.times.size() / 4]},
          {"upper_quartile", ratio.times[3 * ratio.times.size() / 4]},
          {"least", ratio.least()},
          {"most", ratio.most()}};
}

// One side after the other, in milliseconds, and their ratio.
void print_pairs(const std::string& what, const Spread& ours, const Spread& theirs, const Spread& ratio) {
  std::printf(
      "%s: ours %.2f ms (%.2f to %.2f), PyTorch %.2f ms (%.2f to %.2f); PyTorch / ours %.2f (quartiles %.2f to %.2f, "
      "all %.2f to %.2f, %zu pairs in turn)\n",
      what.c_str(), 1e3 * ours.median(), 1e3 * ours.least(), 1e3 * ours.most(), 1e3 * theirs.median(),
      1e3 * theirs.least(), 1e3 * theirs.most(), ratio.median(), ratio.times[ratio.times.size() / 4],
      ratio.times[3 * ratio.times.size() / 4], ratio.least(), ratio.most(), ratio.times.size());
}

}  // namespace

void check_against(const BenchOptions& o) {
  if (o.against.empty()) return;
  ITO_USER_CHECK(o.against == "pytorch", "--against ", o.against, ": expected pytorch");
  ITO_USER_CHECK(o.what == "train" || o.what == "sample" || o.what == "data",
                 "--against: is for train, sample and data, not for ", o.what);
  (void)script_of(o);
}

void measure_against(const BenchOptions& o) {
  const std::string script = script_of(o);
  std::vector<std::string> command{o.peer_python, script};
  std::optional<ModelBench> model;
  std::optional<DataBench> data;
  const auto ours_once = [&] { return data ? data->run() : model->run(o.what, o.batch); };
  if (o.what == "data")
    command.insert(command.end(), {"--data", o.peer_data.empty() ? o.data : o.peer_data, "--size",
                                   std::to_string(o.size), "--threads", std::to_string(loading_threads(o.threads))});
  else
    command.insert(command.end(), {config_of(o).dump(), "--precision", o.precision});
  // As many threads as we have, but for a number in the environment where none was asked for.
  const bool asked = o.threads > 0;
  setenv("OMP_NUM_THREADS", std::to_string(loading_threads(o.threads)).c_str(), asked);
  Peer peer(command);
  if (o.what == "data")
    data.emplace(o);
  else
    model.emplace(o);
  const std::string line = o.what + " " + std::to_string(o.batch);
  Json answer = peer.run(line);
  ours_once();
  // Seconds, and those of the processors, all threads together: what others on the machine change less. A peer may not
  // tell the latter.
  std::vector<double> ours, theirs, ratios, our_work, their_work, work_ratios;
  const int steps = o.what == "sample" ? kReverseSteps : 1;
  for (int i = 0; i < o.repetitions; ++i) {
    const std::clock_t begin = std::clock();
    ours.push_back(ours_once());
    our_work.push_back(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC / steps);
    answer = peer.run(line);
    theirs.push_back(answer.at("seconds").get<double>());
    ratios.push_back(theirs.back() / ours.back());
    if (!answer.contains("processor_seconds")) continue;
    their_work.push_back(answer.at("processor_seconds").get<double>());
    work_ratios.push_back(their_work.back() / our_work.back());
  }
  if (o.json) {
    Json all = machine();
    all.update({{"what", o.what}, {"batch", o.batch}});
    if (data)
      all["of"] = data->facts();
    else
      all.update({{"model", o.model}, {"precision", o.precision}});
    all.update({{"repetitions", o.repetitions},
                {"ours", seconds_json(Spread(ours))},
                {"pytorch", seconds_json(Spread(theirs))},
                {"ratio", ratio_json(Spread(ratios))}});
    all["pytorch"]["answer"] = answer;
    if (!work_ratios.empty())
      all["processor"] = {{"ours", seconds_json(Spread(our_work))},
                          {"pytorch", seconds_json(Spread(their_work))},
                          {"ratio", ratio_json(Spread(work_ratios))}};
    return print_json(all);
  }
  const std::string how = data ? join_text(data->images(), " images") : o.precision;
  print_pairs(join_text(o.what, ", batch ", o.batch, ", ", how), Spread(ours), Spread(theirs), Spread(ratios));
  if (!work_ratios.empty()) print_pairs("processor time", Spread(our_work), Spread(their_work), Spread(work_ratios));
}

}  // namespace ito
