// Figures as people read them. An absent figure is a dash.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mc {

using Figure = std::optional<double>;

inline constexpr const char* kNoFigure = "-";

bool metric_is_share(std::string_view metric);                   // top1, top5, f1: shown in per cent
std::string metric_text(std::string_view metric, Figure value);  // "92.31 %"
std::string percent_text(Figure share, int digits = 1);          // 0.8 -> "80.0 %"
std::string milliseconds_text(Figure value);                     // three significant digits
std::string megabytes_text(Figure bytes);                        // 10^6 bytes, three significant digits
std::string ratio_text(Figure ratio);                            // "2.71x"
std::string fixed_text(Figure value, int decimals);
std::string significant_text(Figure value, int digits = 3);  // "0.0123", "1.2e-07"
std::string count_text(Figure value);                        // "10,000"

}  // namespace mc
