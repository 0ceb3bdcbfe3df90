#include "mc/report/curves.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mc/report/figures.h"
#include "mc/report/json_access.h"

namespace mc {
namespace {

constexpr size_t kPointsOfStage = 80;

struct Stage {
  std::string name;
  double steps = 0;  // the largest step seen, and one more
  std::vector<ChartPoint> losses;
  std::vector<ChartPoint> metrics;
};

Stage& stage_of(std::vector<Stage>& stages, const std::string& name) {
  for (Stage& stage : stages) {
    if (stage.name == name) return stage;
  }
  stages.push_back({name, 0, {}, {}});
  return stages.back();
}

void take_line(std::vector<Stage>& stages, const Json& line, const std::string& metric) {
  const std::string name = text_at(line, "stage");
  const Figure step = number_at(line, "step");
  if (name.empty() || !step) return;
  const Figure loss = number_at(line, "loss");
  Figure measured = number_at(line, "metric");
  if (!measured) measured = number_at(line, metric.c_str());
  if (!loss && !measured) return;
  Stage& stage = stage_of(stages, name);
  stage.steps = std::max(stage.steps, *step + 1);
  if (loss && std::isfinite(*loss)) stage.losses.push_back({*step, *loss, *loss, *loss, ""});
  if (measured) {
    const std::string epoch = count_text(number_at(line, "epoch"));
    stage.metrics.push_back({*step, *measured, *measured, *measured,
                             fmt::format("{}, epoch {}: {}", name, epoch, metric_text(metric, *measured))});
  }
}

// A run that was resumed wrote some steps twice; the later line holds.
void put_in_order(std::vector<ChartPoint>& points) {
  std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
  std::vector<ChartPoint> last;
  for (ChartPoint& point : points) {
    if (!last.empty() && last.back().x == point.x) last.pop_back();
    last.push_back(std::move(point));
  }
  points = std::move(last);
}

std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points) {
  if (points.size() <= kPointsOfStage) return points;
  std::vector<ChartPoint> result;
  for (size_t i = 0; i < kPointsOfStage; ++i) {
    const size_t from = i * points.size() / kPointsOfStage, to = (i + 1) * points.size() / kPointsOfStage;
    ChartPoint mean{0, 0, points[from].y, points[from].y, ""};
    for (size_t j = from; j < to; ++j) {
      mean.x += points[j].x / static_cast<double>(to - from);
      mean.y += points[j].y / static_cast<double>(to - from);
      mean.low = std::min(mean.low, points[j].y);
      mean.high = std::max(mean.high, points[j].y);
    }
    result.push_back(mean);
  }
  return result;
}

std::vector<ChartPoint> moved(std::vector<ChartPoint> points, double by) {
  for (ChartPoint& point : points) point.x += by;
  return points;
}

}  // namespace

TrainingCurves training_curves(const std::vector<Json>& lines, const std::string& metric) {
  std::vector<Stage> stages;
  for (const Json& line : lines) take_line(stages, line, metric);
  TrainingCurves curves;
  curves.loss.title = "Training loss";
  curves.metric.title = "Accuracy after each epoch";
  curves.loss.x_label = curves.metric.x_label = "step";
  curves.loss.y_from_zero = true;
  curves.loss.y_text = [](double value) { return significant_text(value); };
  const bool share = metric_is_share(metric);
  if (!share) curves.metric.title = metric + " after each epoch";
  curves.metric.y_text = [share](double value) {
    return share ? percent_text(value, 0) : significant_text(value);
  };
  double start = 0;
  int color = 1;
  for (Stage& stage : stages) {
    put_in_order(stage.losses);
    put_in_order(stage.metrics);
    const ChartBand band{start, start + stage.steps, stage.name};
    curves.loss.bands.push_back(band);
    curves.metric.bands.push_back(band);
    curves.loss.series.push_back({stage.name, color, false, moved(thinned(stage.losses), start)});
    curves.metric.series.push_back({stage.name, color, true, moved(stage.metrics, start)});
    curves.loss.description += fmt::format("{}: {} steps. ", stage.name, count_text(stage.steps));
    if (!stage.metrics.empty()) curves.metric.description += stage.metrics.back().note + ". ";
    start += stage.steps;
    color = color % 5 + 1;
  }
  return curves;
}

}  // namespace mc
