#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mc/report/chart.h"
#include "mc/report/html.h"

namespace mc {
namespace {

constexpr double kBarsWidth = 560, kRow = 26, kBar = 15;
constexpr double kLabelCharacter = 7.2, kGap = 10;

double longest(const std::vector<ChartBar>& bars, std::string ChartBar::* member) {
  size_t most = 0;
  for (const ChartBar& bar : bars) most = std::max(most, (bar.*member).size());
  return kLabelCharacter * static_cast<double>(most);
}

// The end of a long label tells layers apart, not its beginning.
std::string fitted_end(const std::string& label, double room) {
  const auto fits = static_cast<size_t>(room / kLabelCharacter);
  return label.size() <= fits ? label : "\u2026" + label.substr(label.size() - fits + 1);
}

}  // namespace

std::string to_svg(const BarChart& given) {
  BarChart chart = given;
  std::erase_if(chart.bars, [](const ChartBar& bar) { return !std::isfinite(bar.value) || bar.value < 0; });
  if (chart.bars.empty()) return "";
  double maximum = chart.maximum;
  if (maximum <= 0) {
    for (const ChartBar& bar : chart.bars) maximum = std::max({maximum, bar.value, bar.mark});
  }
  if (!(maximum > 0) || !std::isfinite(maximum)) maximum = 1;
  const double labels = std::min(210.0, longest(chart.bars, &ChartBar::label));
  const double left = labels + kGap;
  const double room = kBarsWidth - left - 2 * kGap - longest(chart.bars, &ChartBar::value_text);
  const double height = kRow * static_cast<double>(chart.bars.size());
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\">\n<title>{}</title><desc>{}</desc>\n", kBarsWidth,
                  height, escape_html(chart.title), escape_html(chart.description));
  double top = (kRow - kBar) / 2;
  for (const ChartBar& bar : chart.bars) {
    const double width = std::min(1.0, bar.value / maximum) * room;
    const double middle = top + kBar / 2;
    svg += fmt::format("<g class=\"k{}\"><title>{}</title>\n", bar.color % 6,
                       escape_html(bar.note.empty() ? bar.label + ": " + bar.value_text : bar.note));
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", labels, middle + 4,
                       escape_html(fitted_end(bar.label, labels + 1)));
    svg += fmt::format(
        "<rect class=\"rail\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" rx=\"3\"/>\n", left,
        top, room, kBar);
    svg += fmt::format(
        "<rect class=\"fill\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" rx=\"3\"/>\n", left,
        top, std::max(width, 1.5), kBar);
    if (bar.mark > bar.value) {
      const double x = left + std::min(1.0, bar.mark / maximum) * room;
      svg += fmt::format("<path class=\"tick\" d=\"M{0:.1f} {1:.1f}V{2:.1f}M{3:.1f} {4:.1f}H{0:.1f}\"/>\n", x,
                         top + 2, top + kBar - 2, left + width, middle);
    }
    svg +=
        fmt::format("<text class=\"strong\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n</g>\n",
                    kBarsWidth, middle + 4, escape_html(bar.value_text));
    top += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace mc
