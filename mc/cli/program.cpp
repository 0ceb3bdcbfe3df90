#include "mc/cli/program.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include <signal.h>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/text.h"
#include "mc/base/threads.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"

namespace mc {
namespace {

constexpr const char* kVersion = "0.1.0";
constexpr int kBadUsage = static_cast<int>(ErrorKind::kInput);

// CLI11 would only say that a command is missing.
void check_command(const CLI::App& program, const std::vector<std::string>& arguments) {
  const std::string first = arguments.empty() ? "-" : arguments[0];
  if (first.starts_with("-")) return;
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands(nullptr)) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), first) != names.end()) return;
  fail("there is no command '{}'{}; there are {}", first, did_you_mean(first, names), join(names, ", "));
}

constexpr const char* kSummary =
    "Makes trained networks small and fast, and proves them equal where they will run.\n"
    "An ONNX model or a builtin network goes in; a pruned, quantized, distilled ONNX model comes out.";

void add_commands(CLI::App& program, Action& action) {
  program.set_version_flag("--version", kVersion);
  program.require_subcommand(1);
  program.option_defaults()->always_capture_default();
  program.get_formatter()->column_width(34);
  program.footer(
      "Exit status: 0 done; 1 a check that was asked for did not hold; 2 bad usage or input;\n"
      "130 interrupted. Results go to stdout, progress and messages to stderr.\n"
      "`model-compression COMMAND --help` tells more, with examples.");
  add_run(program, action);
  add_init(program, action);
  add_inspect(program, action);
  add_evaluate(program, action);
  add_quantize(program, action);
  add_prune(program, action);
  add_sensitivity(program, action);
  add_benchmark(program, action);
  add_compare(program, action);
  add_conformance(program, action);
  add_report(program, action);
}

int parse_and_run(const std::vector<std::string>& arguments) {
  CLI::App program(kSummary, "model-compression");
  Action action;
  add_commands(program, action);
  check_command(program, arguments);
  try {
    program.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // from the back
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) fail("{} (see `model-compression --help`)", error.what());
    std::ostringstream text;  // --help, --version
    const int status = program.exit(error, text, text);
    print(text.str());
    return status;
  }
  return action();
}

// Runs the body, and gives its exit status and what went wrong.
template <class Body>
int guarded(Body&& body, std::string& error_text) {
  try {
    return body();
  } catch (const Error& error) {
    error_text = error.what();
    return static_cast<int>(error.kind());
  } catch (const c10::Error& error) {
    error_text = error.what_without_backtrace();
  } catch (const std::bad_alloc&) {
    error_text = "out of memory";
  } catch (const std::exception& error) {
    error_text = error.what();
  }
  return kBadUsage;
}

// The sizes of the thread pools are the caller's again when a command is done.
class ThreadPools {
 public:
  ThreadPools() : threads_(at::get_num_threads()) {}
  ~ThreadPools() {
    Threads::set_count(0);
    at::set_num_threads(threads_);
  }

 private:
  int threads_;
};

// The signals are ours while a command runs inside another program, and its own again afterwards.
class Interrupts {
 public:
  Interrupts() {
    sigaction(SIGINT, nullptr, &interrupt_);
    sigaction(SIGTERM, nullptr, &terminate_);
    set_interrupted(false);
    catch_interrupts();
  }
  ~Interrupts() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
    set_interrupted(false);
  }

 private:
  struct sigaction interrupt_ = {};
  struct sigaction terminate_ = {};
};

Json describe(const CLI::Option& option) {
  const bool positional = option.get_positional();
  const auto& off = option.get_fnames();
  const char separator = option.get_delimiter();
  return {{"name", positional ? option.get_single_name() : option.get_lnames().at(0)},
          {"positional", positional},
          {"required", option.get_required()},
          {"flag", option.get_expected_max() == 0},
          {"off", off.empty() ? "" : off.front()},
          {"separator", separator ? std::string(1, separator) : ""},
          {"repeated", option.get_expected_max() > 1 && !separator},
          {"type", option.get_type_name()},
          {"default", option.get_default_str()},
          {"help", option.get_description()}};
}

}  // namespace

std::string describe_commands() {
  CLI::App program(kSummary, "model-compression");
  Action action;
  add_commands(program, action);
  Json commands = Json::object();
  for (const CLI::App* command : program.get_subcommands(nullptr)) {
    Json arguments = Json::array();
    for (const CLI::Option* option : command->get_options()) {
      if (option != command->get_help_ptr()) arguments.push_back(describe(*option));
    }
    commands[command->get_name()] = {{"summary", command->get_description()}, {"arguments", arguments}};
  }
  return commands.dump();
}

int run_program(const std::vector<std::string>& arguments) {
  set_log_sink(std::make_shared<TerminalSink>());
  catch_interrupts();
  std::string error;
  const int status = guarded([&] { return parse_and_run(arguments); }, error);
  if (!error.empty()) print_error(error);
  set_log_sink(nullptr);
  return status;
}

CommandResult run_command(const std::vector<std::string>& arguments, std::shared_ptr<LogSink> sink) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const Interrupts interrupts;
  const ThreadPools pools;
  CommandResult result;
  const auto sink_before = set_log_sink(std::move(sink));
  Captured captured;
  Captured* const place_before = capture_output(&captured);
  result.status = guarded([&] { return parse_and_run(arguments); }, result.error);
  capture_output(place_before);
  set_log_sink(sink_before);
  result.output = std::move(captured.text);
  result.document = std::move(captured.document);
  if (interrupted()) {  // also where the command was done before it looked
    result.status = static_cast<int>(ErrorKind::kInterrupted);
    if (result.error.empty()) result.error = "interrupted";
  }
  return result;
}

}  // namespace mc
