#include <filesystem>
#include <memory>
#include <string>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/cli/command.h"
#include "mc/cli/terminal.h"
#include "mc/recipe/run_folder.h"
#include "mc/report/report.h"

namespace mc {
namespace {

struct ReportArguments {
  std::filesystem::path folder;
  bool json = false;
};

int execute(const ReportArguments& arguments) {
  const std::filesystem::path file = arguments.folder / "results.json";
  MC_CHECK(std::filesystem::exists(file), "{}: no such file; is this the folder of a finished run?",
           file.string());
  const Json results = Json::parse(read_file(file), nullptr, false);
  MC_CHECK(!results.is_discarded(), "{}: is no JSON", file.string());
  with_context([&] { return file.string(); }, [&] { check_run_schema(results); });
  const std::filesystem::path page = arguments.folder / "report.html";
  write_file_atomic(page, report_html(results, read_metrics(arguments.folder / "metrics.jsonl")));
  present(
      arguments.json, [&] { return results; },
      [&] {
        print(summary_table(results));
        print(fmt::format("\nreport: {}\n", page.string()));
      });
  return kDone;
}

}  // namespace

void add_report(CLI::App& program, Action& action) {
  auto options = std::make_shared<ReportArguments>();
  CLI::App* command =
      add_command(program, action, "report", "Print the table of a finished run and write its page again",
                  options, execute);
  command->add_option("folder", options->folder, "Folder of the run")->required();
  command->add_flag("--json", options->json, "Print results.json");
  command->footer("Example:\n  model-compression report runs/fashion-mnist");
}

}  // namespace mc
