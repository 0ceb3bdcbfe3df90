#include "mc/report/run_view.h"

#include <algorithm>

#include "mc/base/text.h"
#include "mc/report/json_access.h"

namespace mc {
namespace {

const Json kAbsent;

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::string joined(const Json& list) {
  std::vector<std::string> words;
  if (list.is_array()) {
    for (const Json& item : list) {
      if (item.is_string()) words.push_back(item.get<std::string>());
    }
  }
  return words.empty() ? kNoFigure : join(words, ", ");
}

std::string seconds_text(Figure seconds) {
  return seconds ? human_seconds(*seconds) : kNoFigure;
}

Figure ratio(Figure a, Figure b) {
  return a && b && *b > 0 ? Figure(*a / *b) : std::nullopt;
}

}  // namespace

std::vector<std::string> RunView::models() const {
  std::vector<std::string> names;
  for (const Json& entry : list_at(results_, "models")) add_once(names, text_at(entry, "name"));
  for (const char* part : {"evaluations", "benchmarks"}) {
    for (const Json& row : list_at(results_, part)) add_once(names, text_at(row, "model"));
  }
  return names;
}

int RunView::color(const std::string& model) const {
  const std::vector<std::string> names = models();
  return static_cast<int>(std::find(names.begin(), names.end(), model) - names.begin());
}

std::string RunView::baseline() const {
  const std::vector<std::string> names = models();
  if (std::find(names.begin(), names.end(), "fp32") != names.end()) return "fp32";
  const Json& rows = list_at(results_, "benchmarks");
  if (!rows.empty()) return text_at(rows.front(), "model");
  return names.empty() ? "" : names.front();
}

std::string RunView::final_model() const {
  const Json& entries = list_at(results_, "models");
  return entries.empty() ? "" : text_at(entries.back(), "name");
}

const Json& RunView::model(const std::string& name) const {
  for (const Json& entry : list_at(results_, "models")) {
    if (text_at(entry, "name") == name) return entry;
  }
  return kAbsent;
}

const Json& RunView::evaluation(const std::string& model, const std::string& engine) const {
  for (const Json& row : list_at(results_, "evaluations")) {
    if (text_at(row, "model") == model && text_at(row, "engine") == engine) return row;
  }
  return kAbsent;
}

Figure RunView::speedup(const Json& row) const {
  const std::string reference = baseline();
  for (const Json& other : list_at(results_, "benchmarks")) {
    if (text_at(other, "model") == reference && part(other, "engine") == part(row, "engine") &&
        part(other, "batch") == part(row, "batch")) {
      return ratio(number_at(other, "median_ms"), number_at(row, "median_ms"));
    }
  }
  return std::nullopt;
}

Table RunView::stages() const {
  Table table{"Training stages",
              {{"stage"},
               {"methods"},
               {"epochs", true},
               {"steps", true},
               {"metric"},
               {"value", true},
               {"sparsity", true},
               {"time", true}},
              {}};
  for (const Json& stage : list_at(results_, "stages")) {
    const std::string metric = text_at(stage, "metric_name");
    table.rows.push_back(
        {text_at(stage, "name"), joined(part(stage, "methods")), count_text(number_at(stage, "epochs")),
         count_text(number_at(stage, "steps")), metric, metric_text(metric, number_at(stage, "metric")),
         percent_text(number_at(stage, "sparsity")), seconds_text(number_at(stage, "seconds"))});
  }
  return table;
}

Table RunView::sizes() const {
  Table table{"Exported models",
              {{"model"},
               {"file"},
               {"file MB", true},
               {"compressed MB", true},
               {"smaller", true},
               {"parameters", true},
               {"MACs", true},
               {"sparsity", true}},
              {}};
  const Figure reference = number_at(model(baseline()), "compressed_bytes");
  for (const Json& entry : list_at(results_, "models")) {
    const Figure compressed = number_at(entry, "compressed_bytes");
    const Figure macs = number_at(entry, "macs");
    table.rows.push_back({text_at(entry, "name"), text_at(entry, "file"),
                          megabytes_text(number_at(entry, "file_bytes")), megabytes_text(compressed),
                          ratio_text(ratio(reference, compressed)),
                          count_text(number_at(entry, "parameters")), macs ? human_count(*macs) : kNoFigure,
                          percent_text(number_at(entry, "sparsity"))});
  }
  return table;
}

bool RunView::sizes_differ() const {
  const Json& entries = list_at(results_, "models");
  return std::any_of(entries.begin(), entries.end(), [&](const Json& entry) {
    return number_at(entry, "macs") != number_at(entries.front(), "macs") ||
           number_at(entry, "parameters") != number_at(entries.front(), "parameters");
  });
}

Table RunView::deployment() const {
  Table table{"Models on their engines",
              {{"model"},
               {"engine"},
               {"float parts"},
               {"batch", true},
               {"metric", true},
               {"file MB", true},
               {"compressed MB", true},
               {"median ms", true},
               {"p90 ms", true},
               {"samples/s", true},
               {"speed-up", true}},
              {}};
  const std::string reference = baseline();
  for (const Json& row : list_at(results_, "benchmarks")) {
    const std::string name = text_at(row, "model"), engine = text_at(row, "engine");
    const Json& measured = evaluation(name, engine);
    const Json& files = model(name);
    const Figure faster = speedup(row);
    const Tone tone = name == reference || !faster ? Tone::kPlain
                      : *faster >= 1.05            ? Tone::kGood
                      : *faster <= 0.95            ? Tone::kBad
                                                   : Tone::kPlain;
    const bool skipped = !text_at(row, "skipped").empty();
    table.rows.push_back({name,
                          engine,
                          skipped ? std::string("skipped") : text_at(row, "precision"),
                          count_text(number_at(row, "batch")),
                          metric_text(text_at(measured, "metric"), number_at(measured, "value")),
                          megabytes_text(number_at(files, "file_bytes")),
                          megabytes_text(number_at(files, "compressed_bytes")),
                          milliseconds_text(number_at(row, "median_ms")),
                          milliseconds_text(number_at(row, "p90_ms")),
                          count_text(number_at(row, "throughput")),
                          {ratio_text(faster), tone}});
  }
  return table;
}

std::string date_text(const Json& environment) {
  const std::string date = text_at(environment, "date");
  const bool iso = date.size() == 20 && date[10] == 'T' && date.back() == 'Z';
  return iso ? date.substr(0, 10) + " " + date.substr(11, 5) + " UTC" : date;
}

std::string side_text(const Json& pair, const char* model, const char* engine) {
  return text_at(pair, model) + " on " + text_at(pair, engine);
}

Table RunView::agreement() const {
  Table table{"How alike the models' outputs are",
              {{"reference"},
               {"compared with"},
               {"output"},
               {"samples", true},
               {"MSE", true},
               {"SNR dB", true},
               {"cosine", true},
               {"largest difference", true},
               {"same top-1", true}},
              {}};
  for (const Json& pair : list_at(results_, "comparisons")) {
    bool first = true;
    for (const Json& output : list_at(pair, "outputs")) {
      table.rows.push_back(
          {side_text(pair, "reference", "engine"), side_text(pair, "other", "other_engine"),
           text_at(output, "name"), count_text(number_at(pair, "samples")),
           significant_text(number_at(output, "mse")), fixed_text(number_at(output, "snr_db"), 1),
           fixed_text(number_at(output, "cosine"), 6), significant_text(number_at(output, "max_abs")),
           first ? percent_text(number_at(pair, "top1_agreement"), 2) : std::string()});
      first = false;
    }
  }
  return table;
}

Table RunView::checks() const {
  Table table{"Checks", {{"check"}, {"required", true}, {"measured", true}, {"result"}}, {}};
  for (const Json& check : list_at(results_, "checks")) {
    const bool passed = true_at(check, "passed");
    table.rows.push_back({text_at(check, "name"),
                          text_at(check, "required"),
                          text_at(check, "measured"),
                          {passed ? "passed" : "FAILED", passed ? Tone::kGood : Tone::kBad}});
  }
  return table;
}

Table RunView::quantization() const {
  Table table{"Layers left in float", {{"model"}, {"layer"}, {"operator"}, {"reason"}}, {}};
  for (const Json& layer : list_at(results_, "quantized_layers")) {
    if (true_at(layer, "quantized")) continue;
    table.rows.push_back({text_at(layer, "model"),
                          text_at(layer, "layer"),
                          text_at(layer, "op"),
                          {text_at(layer, "reason"), Tone::kMuted}});
  }
  return table;
}

Table RunView::environment() const {
  Table table{"Environment", {{"what"}, {"value"}}, {}};
  const Json& environment = part(results_, "environment");
  auto add = [&](const char* title, const std::string& value) {
    if (!value.empty() && value != kNoFigure) table.rows.push_back({title, value});
  };
  add("processor", text_at(environment, "cpu"));
  add("trained on", text_at(environment, "device"));
  add("threads", count_text(number_at(environment, "threads")));
  add("data", text_at(results_, "data"));
  add("date", date_text(environment));
  const Json& versions = part(environment, "versions");
  if (versions.is_object()) {
    for (const auto& [name, version] : versions.items()) {
      if (version.is_string()) table.rows.push_back({name, version.get<std::string>()});
    }
  }
  return table;
}

}  // namespace mc
