#include "mc/report/quantize_page.h"

#include <fmt/format.h>
#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/report/figures.h"
#include "mc/report/html.h"
#include "mc/report/json_access.h"
#include "mc/report/page.h"
#include "mc/report/sensitivity_view.h"
#include "mc/report/table.h"

namespace mc {
namespace {

std::string db_text(Figure value) {
  return value ? fixed_text(value, 1) + " dB" : kNoFigure;
}

class QuantizePage {
 public:
  explicit QuantizePage(const Json& document) : document_(document) {}

  std::string html() const {
    std::string body = header() + tiles_html(tiles());
    body += section_html("The ladder",
                         "From cheap to costly ways; what brought the result closer to the goal was kept.",
                         to_html(ladder(), false));
    body += section_html(
        "The budget", budget_line() + "Each layer's weight has the bits with which the outputs lose least.",
        to_html(chosen_bits(), false));
    body += sensitivity_sections(list_at(document_, "sensitivity"));
    body += section_html(
        "Latency",
        "The model timed with one kind of layer quantized, and with it left float. Kinds that are "
        "faster in float stay so.",
        to_html(latency(), false));
    body += section_html("What stayed float", "And why.", to_html(kept_float(), false));
    body += "<footer>Made from the JSON document of the command.</footer>\n";
    return page_html(title() + " \u2013 quantization report", body);
  }

 private:
  std::string title() const {
    const std::string output = file_name_at(document_, "output");
    return output.empty() ? file_name_at(document_, "model") : output;
  }

  bool is_ladder() const { return text_at(document_, "schema").find("ladder") != std::string::npos; }

  const Json& best_step() const {
    static const Json none;
    const Figure best = number_at(document_, "best");
    const Json& steps = list_at(document_, "steps");
    return best && *best < static_cast<double>(steps.size()) ? steps[static_cast<size_t>(*best)] : none;
  }

  std::string header() const {
    std::string html = "<header>\n<h1>" + escape_html(title()) + "</h1>\n";
    if (is_ladder()) {
      const bool holds = true_at(document_, "holds");
      html += fmt::format("<span class=\"badge {}\">{}</span>\n", holds ? "good" : "bad",
                          holds ? "the goal is reached" : "the goal is not reached");
    }
    std::vector<std::string> facts;
    for (const std::string& fact : {file_name_at(document_, "model"), text_at(document_, "data"),
                                    text_at(document_, "target"), text_at(document_, "engine_note")}) {
      if (!fact.empty()) facts.push_back(fact);
    }
    return html + "<p>" + escape_html(join(facts, " \u00b7 ")) + "</p>\n</header>\n";
  }

  std::vector<Tile> tiles() const {
    std::vector<Tile> tiles;
    const Json& judged = part(best_step(), "judgement");
    const Json& reference = part(document_, "reference");
    const Figure before = is_ladder() ? number_at(reference, "bytes") : number_at(document_, "bytes_before");
    const Figure after = is_ladder() ? number_at(judged, "bytes") : number_at(document_, "bytes_after");
    if (before && after && *after > 0) {
      tiles.push_back({"Smaller", ratio_text(*before / *after),
                       fmt::format("{} MB to {} MB", megabytes_text(before), megabytes_text(after))});
    }
    const Json& latency = part(document_, "latency");
    const Figure float_ms = number_at(latency, "float_ms"), int_ms = number_at(latency, "quantized_ms");
    if (float_ms && int_ms && *int_ms > 0) {
      tiles.push_back(
          {"Faster", ratio_text(*float_ms / *int_ms),
           fmt::format("{} ms to {} ms, batch 1", milliseconds_text(float_ms), milliseconds_text(int_ms))});
    }
    add_metric(tiles);
    const Json& outputs = list_at(part(document_, "comparison"), "outputs");
    const Figure snr = is_ladder()       ? number_at(judged, "snr_db")
                       : outputs.empty() ? Figure()
                                         : number_at(outputs.front(), "snr_db");
    if (snr) tiles.push_back({"SNR", db_text(snr), "of the outputs against the float model's"});
    return tiles;
  }

  void add_metric(std::vector<Tile>& tiles) const {
    const Json& metric = part(document_, "metric");
    const std::string name = is_ladder() ? text_at(document_, "metric") : text_at(metric, "name");
    const Figure before =
        is_ladder() ? number_at(part(document_, "reference"), "metric") : number_at(metric, "before");
    const Figure after =
        is_ladder() ? number_at(part(best_step(), "judgement"), "metric") : number_at(metric, "after");
    if (after) tiles.push_back({name, metric_text(name, after), metric_text(name, before) + " before"});
  }

  Table ladder() const {
    Table table{"Ladder", {{"Rung"}, {"What"}, {"Metric", true}, {"SNR", true}, {"Time", true}, {""}}, {}};
    if (!is_ladder()) return table;
    for (const Json& step : list_at(document_, "steps")) {
      const Json& judged = part(step, "judgement");
      const bool kept = true_at(step, "kept");
      const std::string reason = text_at(step, "reason");
      table.rows.push_back(
          {text_at(step, "rung"), text_at(step, "what"),
           metric_text(text_at(document_, "metric"), number_at(judged, "metric")),
           db_text(number_at(judged, "snr_db")), human_seconds(number_at(step, "seconds").value_or(0)),
           kept ? Cell("kept", Tone::kGood) : Cell(reason.empty() ? "" : "failed: " + reason, Tone::kMuted)});
    }
    return table;
  }

  // "139 kB of at most 140 kB, 698 kB in float. "
  std::string budget_line() const {
    const Json& budget = part(document_, "budget");
    const Figure cost = number_at(budget, "cost"), limit = number_at(budget, "limit"),
                 whole = number_at(budget, "float_cost");
    if (!cost || !limit || !whole) return "";
    const std::string kind = text_at(budget, "kind");
    const auto amount = [&](double value) {
      if (kind == "size") return human_bytes(value);
      return kind == "bops" ? human_count(value) + " bit operations" : milliseconds_text(value) + " ms";
    };
    return fmt::format("{} of at most {}, {} in float. ", amount(*cost), amount(*limit), amount(*whole));
  }

  Table chosen_bits() const {
    const Json& budget = part(document_, "budget");
    Table table{"Budget", {{"Layer"}, {"Operator"}, {"Weight"}, {"SNR alone", true}, {"Cost", true}}, {}};
    const bool bytes = text_at(budget, "kind") == "size";
    for (const Json& layer : list_at(budget, "layers")) {
      const auto bits = static_cast<int64_t>(number_at(layer, "bits").value_or(0));
      const Figure cost = number_at(layer, "cost");
      table.rows.push_back({text_at(layer, "name"), text_at(layer, "op"),
                            bits == 32 ? Cell("float", Tone::kMuted) : Cell(fmt::format("{} bits", bits)),
                            bits == 32 ? kNoFigure : db_text(number_at(layer, "snr_db")),
                            !cost || *cost == 0 ? kNoFigure
                            : bytes             ? human_bytes(*cost)
                                                : human_count(*cost)});
    }
    return table;
  }

  Table latency() const {
    Table table{
        "Latency", {{"Kind"}, {"Layers", true}, {"Quantized, ms", true}, {"Float, ms", true}, {"Left"}}, {}};
    for (const Json& choice : list_at(part(document_, "latency"), "choices")) {
      const bool left = true_at(choice, "kept_float");
      table.rows.push_back({text_at(choice, "kind"), std::to_string(list_at(choice, "nodes").size()),
                            milliseconds_text(number_at(choice, "integer_ms")),
                            milliseconds_text(number_at(choice, "float_ms")),
                            left ? Cell("float", Tone::kMuted) : Cell("quantized", Tone::kGood)});
    }
    return table;
  }

  Table kept_float() const {
    Table table{"Float", {{"Layer"}, {"Operator"}, {"Reason"}}, {}};
    for (const Json& layer : list_at(document_, "layers")) {
      if (true_at(layer, "quantized") || !part(layer, "reason").is_string()) continue;
      table.rows.push_back(
          {text_at(layer, "name"), text_at(layer, "op"), Cell(text_at(layer, "reason"), Tone::kMuted)});
    }
    return table;
  }

  const Json& document_;
};

}  // namespace

std::string quantize_page(const Json& document) {
  const std::string schema = text_at(document, "schema");
  const std::vector<std::string> known = {"model-compression/quantize/1",
                                          "model-compression/quantize-ladder/1",
                                          "model-compression/sensitivity/1"};
  MC_CHECK(std::ranges::find(known, schema) != known.end(), "there is no page for a document of schema '{}'",
           schema);
  return QuantizePage(document).html();
}

}  // namespace mc
