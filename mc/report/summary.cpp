#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/report/json_access.h"
#include "mc/report/report.h"
#include "mc/report/results.h"
#include "mc/report/run_view.h"

namespace mc {

void check_run_schema(const Json& results) {
  MC_CHECK(results.is_object() && part(results, "schema").is_string(),
           "not a run's results: it has no \"schema\" (expected \"{}\")", kRunSchema);
  MC_CHECK(text_at(results, "schema") == kRunSchema,
           "the results' schema is \"{}\", this program reads \"{}\"", text_at(results, "schema"),
           kRunSchema);
}

std::string summary_table(const Json& results) {
  check_run_schema(results);
  const RunView run(results);
  std::string head = text_at(results, "name");
  if (Figure seconds = number_at(results, "seconds"))
    head += (head.empty() ? "" : ", ") + human_seconds(*seconds);
  std::string text = head.empty() ? "" : head + "\n";
  // Sizes only where they differ by more than the file: channels were cut, or networks of several sizes ran.
  const Table sizes = run.sizes_differ() ? run.sizes() : Table();
  for (const Table& table : {run.stages(), sizes, run.deployment(), run.agreement(), run.checks()}) {
    if (!table.empty()) text += "\n" + to_text(table);
  }
  for (const Json& row : list_at(results, "benchmarks")) {
    const std::string reason = text_at(row, "skipped");
    if (reason.empty()) continue;
    text += fmt::format("\nskipped: {} on {}, batch {}: {}", text_at(row, "model"), text_at(row, "engine"),
                        count_text(number_at(row, "batch")), reason);
  }
  return text.empty() || text.back() == '\n' ? text : text + "\n";
}

}  // namespace mc
