#include "mc/cli/command.h"

namespace mc {

void add_threads_and_json(CLI::App& command, int& threads, bool& json) {
  command.add_option("--threads", threads, "CPU threads; 0: all cores")->check(CLI::Range(0, 4096));
  command.add_flag("--json", json, "Print JSON");
}

void add_comparison(CLI::App& command, std::string& metric, int64_t& batch, int64_t& limit) {
  command.add_option("--metric", metric,
                     "Measured before and after where the data has labels; default top1, mse for numbers");
  command.add_option("--batch", batch, "Samples at once when comparing")->check(CLI::PositiveNumber);
  command.add_option("--limit", limit, "Compare on only the first samples; 0: all")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace mc
