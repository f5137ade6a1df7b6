// SPDX-License-Identifier: Apache-2.0
// A worker: the whole command on one device library. Exit codes: 0 done, 1 our fault or the machine's, 2 the user's.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/io/option_name.h"
#include "kernels/seams/comm.h"
#include "kernels/seams/device.h"
#include "kernels/seams/ranges.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/whole_numbers.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/results.h"
#include "tools/terminal/streams.h"

namespace {

const CLI::App& chosen_command(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() ? app : *subcommands.front();
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// The word on the command line that nothing took: an option rather than the value after it, without its own value.
std::string unexpected_word(const std::vector<std::string>& words) {
  for (const std::string& word : words)
    if (word.size() > 1 && word[0] == '-') return word.substr(0, word.find('='));
  return words.empty() ? "" : words.front();
}

const char* expected_by(const CLI::Option* option) {
  const std::string type = option ? option->get_type_name() : "";
  if (type.find("UINT") != std::string::npos) return "a whole number in decimal digits, 0 to 18446744073709551615";
  if (type.find("INT") != std::string::npos) return "a whole number in decimal digits that fits its range";
  if (type.find("FLOAT") != std::string::npos) return "a number";
  return type.empty() ? "no value, or true or false" : "a text";
}

// What the parser found, in our words: the flag, what was found, what was expected.
// first: the first word after `ito`.
std::string describe(const CLI::App& app, const CLI::ParseError& e, const std::string& first) {
  const CLI::App& command = chosen_command(app);
  const std::string what = e.what();
  if (&command == &app) {
    const std::vector<std::string> names = command_names(app);
    const std::vector<std::string> rest = app.remaining();
    const std::string word = std::find(rest.begin(), rest.end(), first) != rest.end() ? first : unexpected_word(rest);
    if (dynamic_cast<const CLI::RequiredError*>(&e) || dynamic_cast<const CLI::ExtrasError*>(&e)) {
      if (word.empty()) return "no sub-command given; expected one of " + joined(names);
      if (word[0] == '-')
        return "unknown option " + ito::quote_name(word) + " before the sub-command" +
               ito::did_you_mean(word, option_names(app));
      return "unknown sub-command " + ito::quote_name(word) + "; expected one of " + joined(names) +
             ito::did_you_mean(word, names);
    }
    return what;
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&e)) {
    const std::string word = unexpected_word(app.remaining(true));
    return command.get_name() + ": " + (word[0] == '-' ? "unknown option " : "unexpected argument ") +
           ito::quote_name(word) + ito::did_you_mean(word, option_names(command));
  }
  // The messages about one option begin or go on with its name.
  const size_t at = std::min(what.find("--"), what.find('-', 1));
  const std::string name = at == std::string::npos ? "" : what.substr(at, what.find_first_of(": =", at) - at);
  const CLI::Option* option = name.empty() ? nullptr : command.get_option_no_throw(name);
  if (!option && !name.empty()) option = app.get_option_no_throw(name);
  if (dynamic_cast<const CLI::RequiredError*>(&e))
    return command.get_name() + ": " + what.substr(0, what.find(' ')) + " is missing";
  if (dynamic_cast<const CLI::ConversionError*>(&e) && option) {
    const size_t equals = what.find("= ");
    return name + " " + ito::quote_name(equals == std::string::npos ? "" : what.substr(equals + 2)) + ": expected " +
           expected_by(option);
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&e) && option) {
    if (option->count() > 1 && option->get_items_expected_max() == 1)
      return name + ": given " + std::to_string(option->count()) + " times; expected once";
    const int wanted = option->get_items_expected_min();
    return name + ": expected " + (wanted > 1 ? std::to_string(wanted) + " values" : "a value") + " after it";
  }
  return what;
}

// The error's line: this process's, or of several ranks the one that ends them all.
int report(const std::string& message, int code) {
  ito::abort_ranks("ito: " + message, code);
  ito::print_error(message);
  return code;
}

int report_usage(const CLI::App& app, const CLI::ParseError& e, const std::string& first) {
  const CLI::App& command = chosen_command(app);
  return report(describe(app, e, first) + " (see ito" + (&command == &app ? "" : " " + command.get_name()) + " --help)",
                2);
}

// Results, notes and progress of the other ranks would be the same.
void leave_words_to_the_first() {
  ito::keep_quiet();
  if (!std::freopen("/dev/null", "w", stdout)) ito::fail("standard output cannot be given up");
}

// A command that several ranks would do several times.
template <void (*add)(CLI::App&)>
void add_alone(CLI::App& app, ito::Communicator& ranks) {
  const std::vector<std::string> before = command_names(app);
  add(app);
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (std::ranges::find(before, command->get_name()) == before.end())
      command->preparse_callback([command, &ranks](size_t) {
        ITO_USER_CHECK(ranks.size() == 1, command->get_name(), ": runs as one process, and ", ranks.size(),
                       " ranks were started; start it without mpirun or srun");
      });
}

void add_commands(CLI::App& app, ito::Communicator& ranks) {
  app.require_subcommand(1);
  app.fallthrough();  // --device may stand after the sub-command too
  app.option_defaults()->always_capture_default();
  static std::string device = "auto";  // the front has decided by now; kept so that --help shows it
  app.add_option("--device", device, "auto, cuda or cpu")->check(CLI::IsMember({"auto", "cuda", "cpu"}));
  app.add_option_function<std::string>("--kernel-table", ito::take_kernel_table,
                                       "which kernel each layer takes: what `ito bench --tune` wrote on this device");
  for (const auto add :
       {ito::add_train_command, ito::add_sample_command, ito::add_predict_command, add_alone<ito::add_inspect_command>,
        add_alone<ito::add_convert_command>, add_alone<ito::add_decode_command>, add_alone<ito::add_ema_command>,
        add_alone<ito::add_eval_command>, ito::add_reverse_stats_command, ito::add_likelihood_command,
        add_alone<ito::add_measure_command>, ito::add_restore_command, add_alone<ito::add_pack_command>,
        ito::add_bench_command, add_alone<ito::add_profile_command>})
    add(app, ranks);
  ito::read_whole_numbers_in_decimal(app);
}

// What the first rank did not meet itself.
void tell_warnings_of_others(ito::Communicator& ranks) {
  if (ranks.size() == 1) return;
  const std::vector<std::string> own = ito::warnings_so_far();
  const std::vector<std::string> all = ranks.gather_text(ito::Json(own).dump(-1, ' ', true));
  for (size_t rank = 1; rank < all.size(); ++rank)
    for (const std::string& text : ito::Json::parse(all[rank]).get<std::vector<std::string>>())
      if (std::ranges::find(own, text) == own.end()) ito::print_warning(ito::join_text("rank ", rank, ": ", text));
}

int run(CLI::App& app, int argc, char** argv, ito::Communicator& ranks) {
  int code = 0;
  try {
    app.parse(argc, argv);
  } catch (const ito::EndWith& end) {
    code = end.code;
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) throw;
    app.exit(e);  // --help
  }
  tell_warnings_of_others(ranks);
  const int of_results = ito::finish_results();
  return code ? code : of_results;
}

}  // namespace

int main(int argc, char** argv) {
  ito::prepare_standard_streams();
  ito::begin_results();
  std::signal(SIGXFSZ, SIG_IGN);  // a file past ulimit -f is then an error that names it, not the end of the process
  ito::warning_sink = ito::print_warning;
  ito::option_spelling = ito::flag_of;
  ito::name_thread("main");
  std::optional<CLI::App> app;  // outlives the ranks: an error in it is told when they are gone
  try {
    ito::Communicator ranks = ito::start_communicator();  // before the device is used: each rank takes its own
    if (ranks.rank() > 0) leave_words_to_the_first();
    app.emplace("ito: trains diffusion models and runs their reverse process", "ito");
    add_commands(*app, ranks);
    return run(*app, argc, argv, ranks);
  } catch (const CLI::ParseError& e) {
    return report_usage(*app, e, argc > 1 ? argv[1] : "");
  } catch (const ito::UserError& e) {
    return report(e.what(), 2);
  } catch (const std::filesystem::filesystem_error& e) {  // where no better words were found
    return report(
        e.path1().string() + ": " + e.code().message() + "; check the path, its permissions and the space left", 2);
  } catch (const std::bad_alloc&) {
    return report("out of memory; lower --batch, or free some memory", 1);
  } catch (const std::exception& e) {
    return report(e.what(), 1);
  }
}
