#include <memory>
#include <string>

#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/deploy/conformance.h"
#include "mc/recipe/process.h"

namespace mc {
namespace {

struct ConformanceArguments {
  std::string folder;
  std::string list;
  int threads = 0;
  bool json = false;
};

void print_conformance(const Conformance& conformance, const std::string& list) {
  for (const ConformanceCase& each : conformance.cases) {
    if (each.passed() && list == "passed") print(each.name + "\n");
    if (!each.passed() && list == "failed") print(fmt::format("{}: {}\n", each.name, each.reason));
  }
  print(fmt::format("{} passed, {} failed\n", conformance.passed(), conformance.failed()));
}

int execute(const ConformanceArguments& arguments) {
  use_threads(arguments.threads);
  const Conformance conformance = run_conformance(arguments.folder);
  present(
      arguments.json, [&] { return to_json(conformance); },
      [&] { print_conformance(conformance, arguments.list); });
  return conformance.failed() == 0 ? kDone : kCheckFailed;
}

}  // namespace

void add_conformance(CLI::App& program, Action& action) {
  auto options = std::make_shared<ConformanceArguments>();
  CLI::App* command = add_command(program, action, "conformance",
                                  "Run ONNX backend tests through our executor", options, execute);
  command->add_option("folder", options->folder, "A case, or a folder of cases")->required();
  command->add_option("--list", options->list, "Name the cases that passed, or those that failed and why")
      ->check(CLI::IsMember({"passed", "failed"}));
  add_threads_and_json(*command, options->threads, options->json);
  command->footer(
      "A case holds model.onnx, test_data_set_K/input_I.pb and output_I.pb, and data.json with rtol and "
      "atol\n"
      "where these are not 1e-3 and 1e-7. Exit status 1 when a case fails.\n"
      "Example:\n"
      "  model-compression conformance cases --list failed");
}

}  // namespace mc
