#include "mc/report/figures.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace mc {
namespace {

bool usable(Figure value) {
  return value && std::isfinite(*value);
}

// `digits` significant digits without an exponent, for figures of everyday size.
std::string plain(double value, int digits) {
  const double size = std::abs(value);
  const int before = size > 0 ? static_cast<int>(std::floor(std::log10(size))) + 1 : 1;
  return fmt::format("{:.{}f}", value, std::clamp(digits - before, 0, 6));
}

}  // namespace

bool metric_is_share(std::string_view metric) {
  return metric == "top1" || metric == "top5" || metric == "f1";
}

std::string metric_text(std::string_view metric, Figure value) {
  return metric_is_share(metric) ? percent_text(value, 2) : significant_text(value, 4);
}

std::string percent_text(Figure share, int digits) {
  return usable(share) ? fmt::format("{:.{}f} %", *share * 100, digits) : kNoFigure;
}

std::string milliseconds_text(Figure value) {
  return usable(value) ? plain(*value, 3) : kNoFigure;
}

std::string megabytes_text(Figure bytes) {
  return usable(bytes) ? plain(*bytes / 1e6, 3) : kNoFigure;
}

std::string ratio_text(Figure ratio) {
  return usable(ratio) ? fixed_text(ratio, *ratio < 10 ? 2 : 1) + "x" : kNoFigure;
}

std::string fixed_text(Figure value, int decimals) {
  return usable(value) ? fmt::format("{:.{}f}", *value, decimals) : kNoFigure;
}

std::string significant_text(Figure value, int digits) {
  return usable(value) ? fmt::format("{:.{}g}", *value, digits) : kNoFigure;
}

std::string count_text(Figure value) {
  if (!usable(value)) return kNoFigure;
  std::string text = fmt::format("{:.0f}", *value);
  const int start = text[0] == '-' ? 1 : 0;
  for (int i = static_cast<int>(text.size()) - 3; i > start; i -= 3)
    text.insert(static_cast<size_t>(i), 1, ',');
  return text;
}

}  // namespace mc
