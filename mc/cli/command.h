// The commands, one file each. Each adds itself to the program and, when it is the one that was asked for,
// leaves what is to be done in `action`, whose result is the exit status.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

namespace mc {

inline constexpr int kDone = 0;
inline constexpr int kCheckFailed = 1;

using Action = std::function<int()>;

void add_run(CLI::App& program, Action& action);
void add_init(CLI::App& program, Action& action);
void add_inspect(CLI::App& program, Action& action);
void add_evaluate(CLI::App& program, Action& action);
void add_quantize(CLI::App& program, Action& action);
void add_prune(CLI::App& program, Action& action);
void add_sensitivity(CLI::App& program, Action& action);
void add_benchmark(CLI::App& program, Action& action);
void add_compare(CLI::App& program, Action& action);
void add_conformance(CLI::App& program, Action& action);
void add_report(CLI::App& program, Action& action);

// --threads and --json, which end the options of commands that compute and report.
void add_threads_and_json(CLI::App& command, int& threads, bool& json);

// --metric, --batch and --limit, of commands that compare what they wrote with what they read.
void add_comparison(CLI::App& command, std::string& metric, int64_t& batch, int64_t& limit);

// Adds the command `name`; its options are members of Options, which lives as long as the program.
template <class Options>
CLI::App* add_command(CLI::App& program, Action& action, const char* name, const char* summary,
                      std::shared_ptr<Options> options, int (*execute)(const Options&)) {
  CLI::App* command = program.add_subcommand(name, summary);
  command->callback(
      [&action, options, execute] { action = [options, execute] { return execute(*options); }; });
  return command;
}

}  // namespace mc
