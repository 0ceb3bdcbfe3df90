// The pieces that the summary and the page are made of.
#include <cmath>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/report/chart.h"
#include "mc/report/curves.h"
#include "mc/report/figures.h"
#include "mc/report/html.h"
#include "mc/report/table.h"
#include "mc/report/zstd_size.h"

namespace mc {
namespace {

TEST(Figures, AsPeopleReadThem) {
  EXPECT_EQ(metric_text("top1", 0.92314), "92.31 %");
  EXPECT_EQ(metric_text("mse", 0.0123456), "0.01235");
  EXPECT_EQ(milliseconds_text(12.345), "12.3");
  EXPECT_EQ(milliseconds_text(0.01234), "0.0123");
  EXPECT_EQ(milliseconds_text(1234.5), "1234");
  EXPECT_EQ(count_text(1234567), "1,234,567");
  EXPECT_EQ(count_text(-123), "-123");
  EXPECT_EQ(ratio_text(2.714), "2.71x");
  EXPECT_EQ(percent_text(std::nullopt), "-");
  EXPECT_EQ(milliseconds_text(std::nan("")), "-");
}

TEST(Html, EscapesAndRepairs) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(escape_html("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(escape_html("\xc3"), "\xef\xbf\xbd");
  EXPECT_EQ(escape_html("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");  // overlong
  EXPECT_EQ(escape_html(std::string_view("\0", 1)), "\xef\xbf\xbd");
}

TEST(Html, MarksYaml) {
  EXPECT_EQ(highlight_yaml("a: 1  # <why>"),
            "<span class=\"key\">a</span>: 1  <span class=\"note\"># &lt;why&gt;</span>");
  EXPECT_EQ(highlight_yaml("- \"x # y\"\n"), "- &quot;x # y&quot;\n");
}

TEST(Table, TextAndHtml) {
  const Table table{"Some", {{"name"}, {"n", true}}, {{"gr\xc3\xbcn", "1"}, {"b", {"22", Tone::kGood}}}};
  EXPECT_EQ(to_text(table), "Some\nname   n\n----  --\ngr\xc3\xbcn   1\nb     22\n");
  EXPECT_THAT(to_html(table), testing::HasSubstr("<td class=\"num good\">22</td>"));
  EXPECT_EQ(to_text({"Empty", {{"a"}}, {}}), "");
  EXPECT_EQ(to_html({"Empty", {{"a"}}, {}}), "");
}

TEST(Chart, TicksAreRoundAndCoverTheRange) {
  EXPECT_EQ(nice_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const auto ticks = nice_ticks(0.842, 0.926, 5);
  EXPECT_LE(ticks.front(), 0.842);
  EXPECT_GE(ticks.back(), 0.926);
  EXPECT_GE(nice_ticks(5, 5, 5).size(), 2u);
  EXPECT_LE(nice_ticks(-1e300, 1e300, 5).size(), 100u);
}

TEST(Chart, LeavesOutWhatCannotBeDrawn) {
  LineChart lines;
  lines.y_text = [](double value) { return significant_text(value); };
  lines.series.push_back({"a", 0, false, {{0, std::nan(""), 0, 0, ""}}});
  EXPECT_EQ(to_svg(lines), "");
  lines.series[0].points.push_back({1, 2, 2, 2, ""});
  EXPECT_THAT(to_svg(lines), testing::Not(testing::HasSubstr("nan")));
  BarChart bars;
  EXPECT_EQ(to_svg(bars), "");
  bars.bars.push_back({"a", INFINITY, "", 0, -1, ""});
  EXPECT_EQ(to_svg(bars), "");
}

TEST(Chart, BarsAreInProportion) {
  BarChart chart;
  chart.bars = {{"a", 10, "10", 0, -1, ""}, {"b", 5, "5 ", 0, -1, ""}};
  const std::string svg = to_svg(chart);
  std::vector<double> widths;
  const std::string mark = "class=\"fill\"";
  for (size_t at = svg.find(mark); at != std::string::npos; at = svg.find(mark, at + 1)) {
    widths.push_back(std::stod(svg.substr(svg.find("width=\"", at) + 7)));
  }
  ASSERT_EQ(widths.size(), 2u);
  EXPECT_NEAR(widths[0], 2 * widths[1], 0.2);
}

TEST(Curves, StagesFollowOneAnotherAndLaterLinesHold) {
  std::vector<Json> lines;
  for (const char* stage : {"train", "prune"}) {
    for (int step = 0; step < 1000; ++step)
      lines.push_back({{"stage", stage}, {"epoch", 0}, {"step", step}, {"loss", 1.0}});
  }
  lines.push_back({{"stage", "prune"}, {"epoch", 0}, {"step", 999}, {"metric", 0.5}});
  lines.push_back({{"stage", "prune"}, {"epoch", 0}, {"step", 999}, {"metric", 0.75}});
  const TrainingCurves curves = training_curves(lines, "top1");
  ASSERT_EQ(curves.loss.bands.size(), 2u);
  EXPECT_EQ(curves.loss.bands[1].from, 1000);
  EXPECT_EQ(curves.loss.bands[1].to, 2000);
  EXPECT_LE(curves.loss.series[0].points.size(), 100u);
  EXPECT_NEAR(curves.loss.series[1].points[0].y, 1.0, 1e-12);
  ASSERT_EQ(curves.metric.series[1].points.size(), 1u);
  EXPECT_EQ(curves.metric.series[1].points[0].y, 0.75);
  EXPECT_EQ(curves.metric.series[1].points[0].x, 1999);
}

TEST(Zstd, ZerosShrinkAndNothingIsNothing) {
  const auto folder = std::filesystem::temp_directory_path();
  const auto file = folder / ("mc_report_" + std::to_string(getpid()));
  std::ofstream(file) << std::string(3000000, '\0');
  EXPECT_LT(zstd_size(file), 3000u);
  EXPECT_GT(zstd_size(file), 0u);
  std::ofstream(file) << "";
  EXPECT_EQ(zstd_size(file), 0u);
  std::filesystem::remove(file);
  EXPECT_THROW(zstd_size(file), Error);
}

}  // namespace
}  // namespace mc
