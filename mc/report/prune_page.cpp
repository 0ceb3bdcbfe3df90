#include "mc/report/prune_page.h"

#include <fmt/format.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/report/chart.h"
#include "mc/report/figures.h"
#include "mc/report/html.h"
#include "mc/report/json_access.h"
#include "mc/report/page.h"
#include "mc/report/table.h"

namespace mc {
namespace {

constexpr int kFileColor = 0, kZstdColor = 2, kZerosColor = 3, kStayColor = 0;

double elements_of(const Json& shape) {
  double product = 1;
  for (const Json& size : shape) product *= size.is_number() ? size.get<double>() : 0;
  return product;
}

std::string shape_text(const Json& shape) {
  std::vector<std::string> sizes;
  for (const Json& size : shape) sizes.push_back(size.dump());
  return join(sizes, " \u00d7 ");
}

class PrunePage {
 public:
  explicit PrunePage(const Json& document) : document_(document) {}

  std::string html() const {
    std::string body = header() + tiles_html(tiles());
    body += section_html("Sizes",
                         "The network before and after. Zeros shrink only a compressed file; what is cut "
                         "out is gone from every one.",
                         columns_html(size_chart("File", "bytes", kFileColor) +
                                      size_chart("Compressed by zstd", "compressed_bytes", kZstdColor)) +
                             to_html(sizes(), false));
    body += section_html(
        "By layer", cuts() ? "What is left of each weight that was cut." : "Share of zeros in each weight.",
        columns_html(cuts() ? left_chart() : zeros_chart()) + to_html(weights(), false));
    body += section_html("Which engines become faster", gain_lead(), engines_html());
    body += section_html("Blocks taken out",
                         "In the order in which they went; a low score says that little is lost.",
                         to_html(blocks(), false));
    body += section_html("What was left alone", "And why.", to_html(left_alone(), false));
    body += section_html("Fidelity", "The pruned model beside the dense one.",
                         fidelity_notes() + to_html(outputs(), false));
    body += "<footer>Made from the JSON document of the command.</footer>\n";
    return page_html(title() + " \u2013 pruning report", body);
  }

 private:
  std::string title() const { return file_name_at(document_, "output"); }
  bool cuts() const { return text_at(last_size(), "what") == "cut"; }
  const Json& first_size() const { return size_at(0); }
  const Json& last_size() const { return size_at(list_at(document_, "sizes").size() - 1); }
  const Json& size_at(size_t i) const {
    static const Json none;
    const Json& all = list_at(document_, "sizes");
    return i < all.size() ? all[i] : none;
  }

  std::string gain_lead() const {
    const std::string pattern = text_at(document_, "pattern");
    return cuts() ? "By what was cut: " + pattern + "." : "By the pattern of the zeros: " + pattern + ".";
  }

  std::string target_text() const {
    const Json& target = part(document_, "target");
    const std::string kind = text_at(target, "kind");
    const Figure value = number_at(target, "value");
    if (!value) return "";
    if (kind == "speedup") return "target " + ratio_text(value) + " faster";
    if (kind == "sparsity") return "target sparsity " + percent_text(value);
    const bool bytes = kind == "size" && !true_at(target, "relative");
    const std::string of = kind == "macs" ? "MACs" : kind == "params" ? "parameters" : "file size";
    return bytes ? "target " + human_bytes(*value)
                 : fmt::format("target {} of the {}", percent_text(value), of);
  }

  std::string header() const {
    std::vector<std::string> facts;
    for (const std::string& fact : {file_name_at(document_, "model"), text_at(document_, "method"),
                                    target_text(), text_at(document_, "data")}) {
      if (!fact.empty()) facts.push_back(fact);
    }
    return "<header>\n<h1>" + escape_html(title()) + "</h1>\n<p>" + escape_html(join(facts, " \u00b7 ")) +
           "</p>\n</header>\n";
  }

  // Dense against the result.
  void add_ratio(const char* name, const char* key, const auto& text, std::vector<Tile>& tiles) const {
    const Figure before = number_at(first_size(), key), after = number_at(last_size(), key);
    if (!before || !after || *after <= 0 || *before == *after) return;
    tiles.push_back(
        {name, ratio_text(*before / *after), fmt::format("{} to {}", text(*before), text(*after))});
  }

  std::vector<Tile> tiles() const {
    std::vector<Tile> tiles;
    if (const Figure zeros = number_at(last_size(), "sparsity"); zeros && !cuts())
      tiles.push_back({"Zeros", percent_text(zeros), "of the layers' weights"});
    add_ratio("Smaller", "bytes", human_bytes, tiles);
    add_ratio("Smaller in zstd", "compressed_bytes", human_bytes, tiles);
    add_ratio("Fewer MACs", "macs", human_count, tiles);
    const Json& latency = part(document_, "latency");
    const Figure before = number_at(latency, "before_ms"), after = number_at(latency, "after_ms");
    if (before && after && *after > 0) {
      tiles.push_back(
          {"Speed", ratio_text(*before / *after),
           fmt::format("{} ms to {} ms, {} at batch {}", milliseconds_text(before), milliseconds_text(after),
                       text_at(latency, "engine"), count_text(number_at(latency, "batch")))});
    }
    const Json& metric = part(document_, "metric");
    const std::string name = text_at(metric, "name");
    if (const Figure now = number_at(metric, "after"))
      tiles.push_back(
          {name, metric_text(name, now), metric_text(name, number_at(metric, "before")) + " before"});
    return tiles;
  }

  std::string size_chart(const std::string& title, const char* key, int color) const {
    BarChart chart{title, "Bytes of each form of the network", {}, 0};
    for (const Json& size : list_at(document_, "sizes")) {
      if (const Figure bytes = number_at(size, key))
        chart.bars.push_back({text_at(size, "what"), *bytes, human_bytes(*bytes), color, -1, ""});
    }
    return figure_html(title, "", to_svg(chart));
  }

  Table sizes() const {
    Table table{
        "Sizes",
        {{"Model"}, {"Parameters", true}, {"Zeros", true}, {"MACs", true}, {"File", true}, {"zstd", true}},
        {}};
    for (const Json& size : list_at(document_, "sizes")) {
      const auto shown = [&](const char* key, const auto& text) {
        const Figure value = number_at(size, key);
        return value ? Cell(text(*value)) : Cell(kNoFigure, Tone::kMuted);
      };
      table.rows.push_back({text_at(size, "what"), shown("parameters", human_count),
                            percent_text(number_at(size, "sparsity")), shown("macs", human_count),
                            shown("bytes", human_bytes), shown("compressed_bytes", human_bytes)});
    }
    return table;
  }

  std::string zeros_chart() const {
    BarChart chart{"Sparsity by layer", "Share of the weights that are zero", {}, 1};
    for (const Json& weight : list_at(document_, "weights")) {
      const Figure zeros = number_at(weight, "sparsity");
      if (!zeros) continue;
      const std::string name = text_at(weight, "name");
      chart.bars.push_back({name, *zeros, percent_text(zeros), kZerosColor, -1,
                            fmt::format("{}: {} of {} weights are zero", name, percent_text(zeros),
                                        count_text(elements_of(list_at(weight, "shape"))))});
    }
    return figure_html(chart.title, "part of zeros", to_svg(chart));
  }

  std::string left_chart() const {
    BarChart chart{"What is left by layer", "Share of each weight's elements that stay", {}, 1};
    for (const Json& weight : list_at(document_, "weights")) {
      const Json &before = list_at(weight, "shape_before"), &after = list_at(weight, "shape");
      if (before.empty() || elements_of(before) <= 0) continue;
      const double stays = elements_of(after) / elements_of(before);
      const std::string name = text_at(weight, "name");
      chart.bars.push_back({name, stays, percent_text(stays), kStayColor, -1,
                            fmt::format("{}: {} to {}", name, shape_text(before), shape_text(after))});
    }
    return figure_html(chart.title, "part of its elements", to_svg(chart));
  }

  Table weights() const {
    Table table{"Weights", {{"Weight"}, {"Before"}, {"Now"}, {"Zeros", true}, {"Pattern"}}, {}};
    for (const Json& weight : list_at(document_, "weights")) {
      const Json &before = list_at(weight, "shape_before"), &after = list_at(weight, "shape");
      table.rows.push_back({text_at(weight, "name"), shape_text(before),
                            before == after ? Cell("the same", Tone::kMuted) : Cell(shape_text(after)),
                            percent_text(number_at(weight, "sparsity")), text_at(weight, "pattern")});
    }
    return table;
  }

  std::string engines_html() const {
    Table table{"Engines", {{"Engine"}, {"Faster"}, {"Why"}}, {}};
    for (const Json& engine : list_at(document_, "engines")) {
      table.rows.push_back({text_at(engine, "engine"),
                            true_at(engine, "faster") ? Cell("yes", Tone::kGood) : Cell("no", Tone::kMuted),
                            text_at(engine, "why")});
    }
    const std::string note = text_at(document_, "engine_note");
    if (table.empty() || note.empty()) return to_html(table, false);
    return to_html(table, false) + "<p class=\"note-line\">Not timed: " + escape_html(note) + "</p>\n";
  }

  Table blocks() const {
    Table table{"Blocks", {{"Block"}, {"Nodes", true}, {"Parameters", true}, {"Score", true}}, {}};
    for (const Json& block : list_at(document_, "blocks")) {
      const Figure parameters = number_at(block, "parameters");
      table.rows.push_back({text_at(block, "name"), count_text(number_at(block, "nodes")),
                            parameters ? human_count(*parameters) : kNoFigure,
                            significant_text(number_at(block, "score"))});
    }
    return table;
  }

  Table left_alone() const {
    Table table{"Left alone", {{"Layer"}, {"Reason"}}, {}};
    for (const Json& layer : list_at(document_, "left"))
      table.rows.push_back({text_at(layer, "name"), Cell(text_at(layer, "reason"), Tone::kMuted)});
    return table;
  }

  std::string fidelity_notes() const {
    std::string html;
    const auto add = [&](const std::string& line) {
      html += "<p class=\"note-line\">" + escape_html(line) + "</p>\n";
    };
    if (const Figure error = number_at(document_, "cut_error")) {
      add(fmt::format("Cut and masked model differ by {} of the largest output.",
                      significant_text(error, 2)));
    }
    if (const std::string note = text_at(document_, "cut_note"); !note.empty())
      add("Cut and masked model need not be equal: " + note);
    const Json& comparison = part(document_, "comparison");
    if (const Figure agreement = number_at(comparison, "top1_agreement"))
      add(fmt::format("The largest output is the same in {} of the samples.", percent_text(agreement)));
    return html;
  }

  Table outputs() const {
    Table table{"Outputs", {{"Output"}, {"SNR", true}, {"Cosine", true}, {"Largest difference", true}}, {}};
    for (const Json& output : list_at(part(document_, "comparison"), "outputs")) {
      const Figure snr = number_at(output, "snr_db");
      table.rows.push_back({text_at(output, "name"), snr ? fixed_text(snr, 1) + " dB" : kNoFigure,
                            fixed_text(number_at(output, "cosine"), 4),
                            significant_text(number_at(output, "max_abs"))});
    }
    return table;
  }

  const Json& document_;
};

}  // namespace

std::string prune_page(const Json& document) {
  const std::string schema = text_at(document, "schema");
  MC_CHECK(schema == "model-compression/prune/1", "there is no pruning page for a document of schema '{}'",
           schema);
  return PrunePage(document).html();
}

}  // namespace mc
