// The command line as functions: the program's main, and commands inside another process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mc/base/log.h"

namespace mc {

// Runs one command with these arguments (without the program's name) and prints to stdout and stderr. Gives
// the exit status. SIGINT and SIGTERM are caught from then on.
int run_program(const std::vector<std::string>& arguments);

struct CommandResult {
  int status = 0;        // as the program's exit status
  std::string output;    // what the program would print to stdout
  std::string document;  // what the command reports, as JSON, whether asked for by --json or not
  std::string error;     // what was wrong; empty if nothing was
};

// {command: {"summary", "arguments": [of one each]}} for every command. An argument: "name" (without dashes),
// "positional", "required", "flag", "off" (name of the flag that turns it off, or empty), "separator"
// (between several values in one word, or empty), "repeated" (may be given several times), "type", "default",
// "help".
std::string describe_commands();

// The same without printing: messages and progress go to `sink` (null: nowhere). One command at a time,
// others wait; SIGINT and SIGTERM interrupt it and are the caller's again afterwards, as are the sizes of
// thread pools. Does not throw.
CommandResult run_command(const std::vector<std::string>& arguments, std::shared_ptr<LogSink> sink = nullptr);

}  // namespace mc
