#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "mc/base/text.h"
#include "mc/report/chart.h"
#include "mc/report/curves.h"
#include "mc/report/html.h"
#include "mc/report/json_access.h"
#include "mc/report/page.h"
#include "mc/report/report.h"
#include "mc/report/run_view.h"

namespace mc {
namespace {

std::string header_html(const RunView& run) {
  const Json& document = run.document();
  const std::string name = text_at(document, "name");
  std::string html = "<header>\n<h1>" + escape_html(name.empty() ? "Compression run" : name) + "</h1>\n";
  if (const Json& checks = list_at(document, "checks"); !checks.empty()) {
    const auto held =
        std::count_if(checks.begin(), checks.end(), [](const Json& c) { return true_at(c, "passed"); });
    const bool all = held == static_cast<std::ptrdiff_t>(checks.size());
    html += fmt::format("<span class=\"badge {}\">{} of {} checks passed</span>\n", all ? "good" : "bad",
                        held, checks.size());
  }
  std::vector<std::string> facts;
  auto add = [&](const std::string& fact) {
    if (!fact.empty()) facts.push_back(fact);
  };
  add(text_at(document, "data"));
  add(date_text(part(document, "environment")));
  if (Figure seconds = number_at(document, "seconds")) add("took " + human_seconds(*seconds));
  return html + "<p>" + escape_html(join(facts, " \u00b7 ")) + "</p>\n</header>\n";
}

std::string training_html(const RunView& run, const std::vector<Json>& metrics) {
  const Json& stages = list_at(run.document(), "stages");
  const std::string metric = stages.empty() ? "top1" : text_at(stages.front(), "metric_name");
  const TrainingCurves curves = training_curves(metrics, metric);
  return columns_html(figure_html(curves.loss.title, "mean and spread", to_svg(curves.loss)) +
                      figure_html(curves.metric.title, metric + ", evaluation data", to_svg(curves.metric))) +
         to_html(run.stages());
}

std::string legend(const RunView& run) {
  std::string html;
  for (const std::string& model : run.models()) {
    const Json& rows = list_at(run.document(), "benchmarks");
    if (std::none_of(rows.begin(), rows.end(),
                     [&](const Json& row) { return text_at(row, "model") == model; }))
      continue;
    html += fmt::format("<li class=\"k{}\"><i></i>{}</li>\n", run.color(model) % 6, escape_html(model));
  }
  return "<ul class=\"legend\">\n" + html + "</ul>\n";
}

// One chart a batch size: their times lie far apart.
std::string latency_html(const RunView& run) {
  std::map<int64_t, BarChart> charts;
  for (const Json& row : list_at(run.document(), "benchmarks")) {
    const Figure median = number_at(row, "median_ms"), batch = number_at(row, "batch");
    if (!median || !batch) continue;
    const std::string model = text_at(row, "model"), engine = text_at(row, "engine");
    BarChart& chart = charts[static_cast<int64_t>(*batch)];
    chart.bars.push_back({engine + " " + model, *median, milliseconds_text(median) + " ms", run.color(model),
                          number_at(row, "p90_ms").value_or(-1),
                          fmt::format("{} on {}: median {} ms, p90 {} ms, p99 {} ms", model, engine,
                                      milliseconds_text(median), milliseconds_text(number_at(row, "p90_ms")),
                                      milliseconds_text(number_at(row, "p99_ms")))});
  }
  std::string figures;
  for (auto& [batch, chart] : charts) {
    std::stable_sort(chart.bars.begin(), chart.bars.end(), [](const ChartBar& a, const ChartBar& b) {
      return a.label.substr(0, a.label.find(' ')) < b.label.substr(0, b.label.find(' '));
    });
    chart.title = fmt::format("Latency at batch {}", batch);
    chart.description = "Median milliseconds a batch, the tick is the 90th percentile";
    figures += figure_html(chart.title, "median, tick: 90th percentile", to_svg(chart));
  }
  return figures.empty() ? "" : legend(run) + columns_html(figures);
}

std::string skipped_html(const RunView& run) {
  std::string html;
  for (const Json& row : list_at(run.document(), "benchmarks")) {
    const std::string reason = text_at(row, "skipped");
    if (reason.empty()) continue;
    html += fmt::format("<p class=\"note-line\">Skipped: {} on {}, batch {}: {}</p>\n",
                        escape_html(text_at(row, "model")), escape_html(text_at(row, "engine")),
                        count_text(number_at(row, "batch")), escape_html(reason));
  }
  return html;
}

// Models with the same figures share one chart.
std::string sparsity_html(const RunView& run) {
  std::vector<std::string> names;
  std::map<std::string, std::vector<ChartBar>> bars;
  for (const Json& row : list_at(run.document(), "sparsity_by_layer")) {
    const std::string model = text_at(row, "model"), layer = text_at(row, "layer");
    const Figure zeros = number_at(row, "sparsity");
    if (!zeros) continue;
    if (!bars.count(model)) names.push_back(model);
    bars[model].push_back({layer, *zeros, percent_text(zeros), 3, -1,
                           fmt::format("{}: {} of {} weights are zero", layer, percent_text(zeros),
                                       count_text(number_at(row, "elements")))});
  }
  std::string figures;
  std::set<std::string> drawn;
  for (const std::string& name : names) {
    BarChart chart{"", "Share of zeros in each weight", bars[name], 1};
    const std::string svg = to_svg(chart);
    if (!drawn.insert(svg).second) continue;
    std::vector<std::string> alike;
    for (const std::string& other : names) {
      if (to_svg(BarChart{"", chart.description, bars[other], 1}) == svg) alike.push_back(other);
    }
    chart.title = "Sparsity by layer, " + join(alike, ", ");
    figures += figure_html(join(alike, ", "), "share of zeros", to_svg(chart));
  }
  return columns_html(figures);
}

std::string recipe_html(const RunView& run) {
  const std::string recipe = text_at(run.document(), "recipe");
  if (recipe.empty()) return "";
  return "<details><summary>Show the recipe, defaults written out</summary>\n<pre tabindex=\"0\"><code>" +
         highlight_yaml(recipe) + "</code></pre></details>\n";
}

}  // namespace

std::string report_html(const Json& results, const std::vector<Json>& metrics) {
  check_run_schema(results);
  const RunView run(results);
  std::string html;
  html += header_html(run) + tiles_html(headline(run));
  html += section_html("Checks", "What the recipe asked for, and what was measured.",
                       to_html(run.checks(), false));
  html +=
      section_html("Training", "Every stage of the run, one behind another.", training_html(run, metrics));
  html += section_html(
      "Deployment",
      "The exported files on the engines that will run them. Accuracy is what each engine computes; speed-up "
      "is over the float model on the same engine.",
      latency_html(run) + to_html(run.deployment()) + skipped_html(run) + to_html(run.sizes()));
  html += section_html(
      "Agreement",
      "Outputs compared sample by sample. SNR is 200 dB where they are equal; top-1 is the largest value of "
      "the first output.",
      to_html(run.agreement(), false));
  html +=
      section_html("Sparsity by layer",
                   "Where the zeros are. ONNX Runtime, OpenVINO and LibTorch multiply by zeros as by any "
                   "number: only the compressed file is smaller. TensorRT on Ampere and later skips those "
                   "of 2:4; channels that were cut make every engine faster.",
                   sparsity_html(run));
  html += section_html("Quantization", "What stayed in float, and why.", to_html(run.quantization()));
  html +=
      section_html("Environment", "Where these figures were measured.", to_html(run.environment(), false));
  html += section_html("Recipe", "The recipe as it ran.", recipe_html(run));
  html +=
      "<footer>Made from results.json and metrics.jsonl of the run "
      "folder.</footer>\n";
  return page_html(text_at(results, "name") + " \u2013 compression report", html);
}

}  // namespace mc
