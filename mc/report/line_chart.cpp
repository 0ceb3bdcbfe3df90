#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "mc/report/chart.h"
#include "mc/report/figures.h"
#include "mc/report/html.h"

namespace mc {
namespace {

constexpr double kWidth = 560, kHeight = 300;
constexpr double kLeft = 54, kRight = 14, kTop = 26, kBottom = 40;
constexpr double kCharacter = 6.3;  // width of one at the style sheet's size

// From values to places in the picture.
struct Frame {
  double x_low, x_high, y_low, y_high;
  double x(double value) const {
    return kLeft + (value - x_low) / (x_high - x_low) * (kWidth - kLeft - kRight);
  }
  double y(double value) const {
    const double share = std::clamp((value - y_low) / (y_high - y_low), 0.0, 1.0);
    return kHeight - kBottom - share * (kHeight - kTop - kBottom);
  }
};

bool drawable(const ChartPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y) && std::isfinite(point.low) &&
         std::isfinite(point.high);
}

Frame make_frame(const LineChart& chart, std::vector<double>& ticks) {
  constexpr double kHuge = std::numeric_limits<double>::max();
  double x_low = kHuge, x_high = -kHuge, y_low = kHuge, y_high = -kHuge;
  for (const ChartSeries& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      x_low = std::min(x_low, point.x);
      x_high = std::max(x_high, point.x);
      y_low = std::min(y_low, point.y);
      y_high = std::max(y_high, point.y);
    }
  }
  for (const ChartBand& band : chart.bands) {
    x_low = std::min(x_low, band.from);
    x_high = std::max(x_high, band.to);
  }
  if (!(x_high > x_low)) x_high = x_low + 1;
  ticks = nice_ticks(chart.y_from_zero ? std::min(0.0, y_low) : y_low, y_high, 5);
  return {x_low, x_high, ticks.front(), ticks.back()};
}

std::string text(double x, double y, const char* anchor, const std::string& words, const char* kind = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y,
                     anchor, kind, escape_html(words));
}

// A label as far as it fits; nothing where not even a few letters do.
std::string fitted(const std::string& label, double room) {
  const auto fits = static_cast<size_t>(std::max(0.0, room / kCharacter));
  if (label.size() <= fits) return label;
  return fits < 4 ? "" : label.substr(0, fits - 1) + "\u2026";
}

std::string bands_svg(const LineChart& chart, const Frame& frame) {
  std::string svg;
  for (size_t i = 0; i < chart.bands.size(); ++i) {
    const ChartBand& band = chart.bands[i];
    const double from = frame.x(band.from), width = std::max(0.0, frame.x(band.to) - from);
    const std::string name = escape_html(band.label);
    if (i % 2 == 0) {
      svg += fmt::format(
          "<rect class=\"band\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" "
          "height=\"{}\"><title>{}</title></rect>\n",
          from, kTop, width, kHeight - kTop - kBottom, name);
    }
    svg += text(from + width / 2, kTop - 9, "middle", fitted(band.label, width), "strong");
  }
  return svg;
}

std::string axes_svg(const LineChart& chart, const Frame& frame, const std::vector<double>& y_ticks) {
  std::string svg;
  for (double tick : y_ticks) {
    svg += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kLeft,
                       kWidth - kRight, frame.y(tick), frame.y(tick));
    svg += text(kLeft - 8, frame.y(tick) + 4, "end", chart.y_text(tick));
  }
  const double bottom = kHeight - kBottom;
  svg += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>\n", kLeft,
                     kWidth - kRight, bottom, bottom);
  for (double tick : nice_ticks(frame.x_low, frame.x_high, 5)) {
    if (tick < frame.x_low || tick > frame.x_high) continue;
    svg += text(frame.x(tick), bottom + 17, "middle", count_text(tick));
  }
  return svg + text((kLeft + kWidth - kRight) / 2, kHeight - 6, "middle", chart.x_label);
}

std::string series_svg(const ChartSeries& series, const Frame& frame) {
  std::string line, upper, lower;
  bool spread = false;
  for (const ChartPoint& point : series.points) {
    const double x = frame.x(point.x);
    line += fmt::format("{:.1f},{:.1f} ", x, frame.y(point.y));
    upper += fmt::format("{:.1f},{:.1f} ", x, frame.y(point.high));
    lower = fmt::format("{:.1f},{:.1f} ", x, frame.y(point.low)) + lower;
    spread = spread || point.high > point.low;
  }
  std::string svg =
      fmt::format("<g class=\"k{}\"><title>{}</title>\n", series.color % 6, escape_html(series.name));
  if (spread) svg += "<polygon class=\"spread\" points=\"" + upper + lower + "\"/>\n";
  if (series.points.size() > 1) svg += "<polyline class=\"line\" points=\"" + line + "\"/>\n";
  if (series.markers || series.points.size() == 1) {
    for (const ChartPoint& point : series.points) {
      svg += fmt::format(
          "<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}</title></circle>\n",
          frame.x(point.x), frame.y(point.y), escape_html(point.note));
    }
  }
  return svg + "</g>\n";
}

}  // namespace

std::string to_svg(const LineChart& given) {
  LineChart chart = given;
  for (ChartSeries& series : chart.series) {
    std::erase_if(series.points, [](const ChartPoint& point) { return !drawable(point); });
  }
  std::erase_if(chart.series, [](const ChartSeries& series) { return series.points.empty(); });
  if (chart.series.empty()) return "";
  std::vector<double> ticks;
  const Frame frame = make_frame(chart, ticks);
  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\">\n<title>{}</title><desc>{}</desc>\n", kWidth,
                  kHeight, escape_html(chart.title), escape_html(chart.description));
  svg += bands_svg(chart, frame) + axes_svg(chart, frame, ticks);
  for (const ChartSeries& series : chart.series) svg += series_svg(series, frame);
  return svg + "</svg>\n";
}

}  // namespace mc
