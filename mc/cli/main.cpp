#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <c10/util/Exception.h>

#include "mc/base/error.h"
#include "mc/base/free_memory.h"
#include "mc/base/interrupt.h"
#include "mc/base/text.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"

namespace mc {
namespace {

constexpr const char* kVersion = "0.1.0";
constexpr int kBadUsage = static_cast<int>(ErrorKind::kInput);

// CLI11 would only say that a command is missing.
void check_command(const CLI::App& program, int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "-";
  if (first.starts_with("-")) return;
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands(nullptr)) names.push_back(command->get_name());
  if (std::find(names.begin(), names.end(), first) != names.end()) return;
  fail("there is no command '{}'{}; there are {}", first, did_you_mean(first, names), join(names, ", "));
}

int parse_and_run(int argc, char** argv) {
  CLI::App program(
      "Makes trained networks small and fast, and proves them equal where they will run.\n"
      "An ONNX model or a builtin network goes in; a pruned, quantized, distilled ONNX model comes out.",
      "model-compression");
  program.set_version_flag("--version", kVersion);
  program.require_subcommand(1);
  program.option_defaults()->always_capture_default();
  program.get_formatter()->column_width(34);
  program.footer(
      "Exit status: 0 done; 1 a check that was asked for did not hold; 2 bad usage or input;\n"
      "130 interrupted. Results go to stdout, progress and messages to stderr.\n"
      "`model-compression COMMAND --help` tells more, with examples.");
  Action action;
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
  check_command(program, argc, argv);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    print_error(fmt::format("{} (see `model-compression --help`)", error.what()));
    return kBadUsage;
  }
  return action();
}

int run_program(int argc, char** argv) {
  auto sink = std::make_shared<TerminalSink>();
  set_log_sink(sink);
  catch_interrupts();
  int status = kBadUsage;
  try {
    status = parse_and_run(argc, argv);
  } catch (const Error& error) {
    print_error(error.what());
    status = static_cast<int>(error.kind());
  } catch (const c10::Error& error) {
    print_error(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  set_log_sink(nullptr);
  return status;
}

}  // namespace
}  // namespace mc

int main(int argc, char** argv) {
  mc::keep_free_memory();
  return mc::run_program(argc, argv);
}
