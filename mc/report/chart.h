// Charts as inline SVG. Colours are classes k0 to k5 of the page's style sheet.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mc {

struct ChartPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;  // spread around y; equal to y where there is none
  std::string note;          // shown on hovering, where there are markers
};

struct ChartSeries {
  std::string name;
  int color = 0;
  bool markers = false;
  std::vector<ChartPoint> points;
};

// A stretch of the x axis with a name: one training stage.
struct ChartBand {
  double from = 0, to = 0;
  std::string label;
};

struct LineChart {
  std::string title;  // for screen readers, with the description
  std::string description;
  std::string x_label;
  std::vector<ChartSeries> series;
  std::vector<ChartBand> bands;
  std::function<std::string(double)> y_text;  // labels of the y axis
  bool y_from_zero = false;
};

struct ChartBar {
  std::string label;
  double value = 0;
  std::string value_text;
  int color = 0;
  double mark = -1;  // a tick further out (p90); none below 0
  std::string note;  // shown on hovering
};

struct BarChart {
  std::string title;
  std::string description;
  std::vector<ChartBar> bars;
  double maximum = 0;  // of the axis; 0: the largest bar or mark
};

// Points that are not finite are left out. Empty when nothing is left to draw.
std::string to_svg(const LineChart& chart);
std::string to_svg(const BarChart& chart);

// Round numbers from at most `low` to at least `high`, about `count` of them.
std::vector<double> nice_ticks(double low, double high, int count);

}  // namespace mc
