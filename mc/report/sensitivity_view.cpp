#include "mc/report/sensitivity_view.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "mc/base/text.h"
#include "mc/report/chart.h"
#include "mc/report/figures.h"
#include "mc/report/json_access.h"
#include "mc/report/page.h"
#include "mc/report/table.h"

namespace mc {
namespace {

constexpr int kPlainColor = 0, kHarmfulColor = 1;

// Of the layers that hurt most, as many as a person looks at.
constexpr size_t kMarked = 3;

double noise_of(double snr_db) {
  return std::pow(10, -snr_db / 10);
}

std::set<double> most_harmful(const Json& layers) {
  std::vector<double> all;
  for (const Json& layer : layers) all.push_back(number_at(layer, "snr_alone_db").value_or(200));
  std::ranges::sort(all);
  all.resize(std::min(all.size(), kMarked));
  return {all.begin(), all.end()};
}

std::string alone_chart(const Json& layers) {
  const std::set<double> marked = most_harmful(layers);
  BarChart chart{"Only this layer quantized", "Noise at the outputs, as a part of the signal", {}, 0};
  for (const Json& layer : layers) {
    const Figure snr = number_at(layer, "snr_alone_db");
    if (!snr) continue;
    const std::string name = text_at(layer, "name");
    chart.bars.push_back({name, noise_of(*snr), fixed_text(snr, 1) + " dB",
                          marked.contains(*snr) ? kHarmfulColor : kPlainColor, -1,
                          fmt::format("{}: {:.1f} dB with only it quantized", name, *snr)});
  }
  return figure_html(chart.title, "noise at the outputs", to_svg(chart));
}

std::string without_chart(const Json& layers) {
  const std::set<double> marked = most_harmful(layers);
  double least = std::numeric_limits<double>::infinity();
  for (const Json& layer : layers)
    least = std::min(least, number_at(layer, "snr_without_db").value_or(least));
  BarChart chart{"Only this layer float", "SNR gained over the layer that gains least", {}, 0};
  for (const Json& layer : layers) {
    const Figure snr = number_at(layer, "snr_without_db");
    if (!snr) continue;
    const std::string name = text_at(layer, "name");
    chart.bars.push_back(
        {name, *snr - least, fixed_text(snr, 1) + " dB",
         marked.contains(number_at(layer, "snr_alone_db").value_or(200)) ? kHarmfulColor : kPlainColor, -1,
         fmt::format("{}: {:.1f} dB with only it float", name, *snr)});
  }
  return figure_html(chart.title, "SNR gained by leaving it so", to_svg(chart));
}

Table by_bits(const Json& layers) {
  std::set<int64_t, std::greater<>> bits;
  for (const Json& layer : layers) {
    for (const int64_t count : {2, 3, 4, 5, 6, 7, 8}) {
      if (part(layer, "snr_by_bits_db").contains(std::to_string(count))) bits.insert(count);
    }
  }
  Table table{"By bits", {{"Layer"}, {"Operator"}, {"Weights", true}, {"MACs", true}, {"Alone", true}}, {}};
  if (bits.empty()) return table;
  for (const int64_t count : bits) table.columns.push_back({fmt::format("{} bits", count), true});
  for (const Json& layer : layers) {
    std::vector<Cell> row = {
        text_at(layer, "name"), text_at(layer, "op"), human_count(number_at(layer, "weights").value_or(0)),
        human_count(number_at(layer, "macs").value_or(0)), fixed_text(number_at(layer, "snr_alone_db"), 1)};
    for (const int64_t count : bits) {
      const Figure snr = number_at(part(layer, "snr_by_bits_db"), std::to_string(count).c_str());
      row.emplace_back(fixed_text(snr, 1), snr && *snr < 10 ? Tone::kBad : Tone::kPlain);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace

std::string sensitivity_sections(const Json& layers) {
  if (!layers.is_array() || layers.empty()) return "";
  return section_html("Sensitivity by layer",
                      "Signal to noise at the outputs against the float model, layers in its order; the "
                      "three that hurt most alone are marked.",
                      columns_html(alone_chart(layers) + without_chart(layers))) +
         section_html("Sensitivity by bits",
                      "SNR in dB at the outputs with only that layer quantized: as the options say, and with "
                      "its weight in so many bits.",
                      to_html(by_bits(layers), false));
}

}  // namespace mc
