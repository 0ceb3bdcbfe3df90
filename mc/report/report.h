// A run's results for people: a table for the terminal and a page for the browser, both made from the
// document results.json alone (results.h, docs/results.md). A part that the document lacks is left out.
#pragma once

#include <string>
#include <vector>

#include "mc/base/json.h"

namespace mc {

// Throws Error when `results` is not a run's document of a version that we read.
void check_run_schema(const Json& results);

// Fixed-width text: stages, then models on their engines, then checks. Ends with a line break.
std::string summary_table(const Json& results);

// One self-contained page (no scripts, nothing from the network; charts are inline SVG). `metrics` are the
// lines of metrics.jsonl: objects with "stage", "epoch", "step" (within the stage), "loss", "lr" for steps
// and "metric" for ends of epochs; lines with other keys are skipped.
std::string report_html(const Json& results, const std::vector<Json>& metrics);

}  // namespace mc
