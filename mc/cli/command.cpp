#include "mc/cli/command.h"

namespace mc {

void add_threads_and_json(CLI::App& command, int& threads, bool& json) {
  command.add_option("--threads", threads, "CPU threads; 0: all cores")->check(CLI::Range(0, 4096));
  command.add_flag("--json", json, "Print JSON");
}

}  // namespace mc
