// SPDX-License-Identifier: Apache-2.0
// A worker: the whole command on one device library. Exit codes: 0 done, 1 our fault or the machine's, 2 the user's.
#include <cstdio>
#include <exception>

#include "engine/io/json_file.h"
#include "kernels/seams/device.h"
#include "tools/commands.h"

namespace {

// Names of all options of the chosen sub-command, for "did you mean".
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  const auto subcommands = app.get_subcommands();
  const CLI::App& chosen = subcommands.empty() ? app : *subcommands.front();
  for (const CLI::Option* option : chosen.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

int report_usage(const CLI::App& app, const CLI::ParseError& e) {
  if (e.get_exit_code() == 0) return app.exit(e);  // --help
  std::string what = e.what();
  for (char& c : what)
    if (c == '\n') c = ' ';
  std::string hint;
  const size_t dashes = what.rfind("--");
  if (dynamic_cast<const CLI::ExtrasError*>(&e)) {
    const size_t colon = what.rfind(": ");
    std::string word = what.substr(dashes != std::string::npos ? dashes : colon + 2);
    word = word.substr(0, word.find_first_of(" ="));
    hint = ito::did_you_mean(word, option_names(app));
  }
  std::fprintf(stderr, "ito: %s%s (see ito --help)\n", what.c_str(), hint.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("ito: trains diffusion models and runs their reverse process", "ito");
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  std::string device = "auto";  // the front has decided by now; kept so that --help shows it
  app.add_option("--device", device, "auto, cuda or cpu")->check(CLI::IsMember({"auto", "cuda", "cpu"}));
  try {
    ito::add_train_command(app);
    ito::add_sample_command(app);
    ito::add_predict_command(app);
    ito::add_inspect_command(app);
    ito::add_eval_command(app);
    ito::add_bench_command(app);
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    return report_usage(app, e);
  } catch (const ito::UserError& e) {
    std::fprintf(stderr, "ito: %s\n", e.what());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "ito: out of memory; lower --batch or --micro-batch\n");
    return 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "ito: %s\n", e.what());
    return 1;
  }
}
