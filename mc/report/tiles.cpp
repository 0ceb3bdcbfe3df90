#include "mc/report/tiles.h"

#include <fmt/format.h>

#include "mc/report/json_access.h"

namespace mc {
namespace {

void add_accuracy(const RunView& run, const std::string& name, std::vector<Tile>& tiles) {
  for (const Json& row : list_at(run.document(), "evaluations")) {
    const Figure value = number_at(row, "value");
    if (text_at(row, "model") != name || !value) continue;
    const std::string metric = text_at(row, "metric"), engine = text_at(row, "engine");
    std::string detail = fmt::format("{} of {} on {}", metric, name, engine);
    const Figure before = number_at(run.evaluation(run.baseline(), engine), "value");
    if (before && run.baseline() != name) {
      detail += metric_is_share(metric)
                    ? fmt::format(", {:+.2f} points against {}", (*value - *before) * 100, run.baseline())
                    : fmt::format(", {} for {}", metric_text(metric, before), run.baseline());
    }
    tiles.push_back({metric_is_share(metric) ? "Accuracy" : metric, metric_text(metric, value), detail});
    return;
  }
}

void add_size(const RunView& run, const std::string& name, std::vector<Tile>& tiles) {
  const Json& small = run.model(name);
  const Json& large = run.model(run.baseline());
  for (const auto& [key, how] :
       {std::pair{"compressed_bytes", "compressed"}, std::pair{"file_bytes", "on disk"}}) {
    const Figure to = number_at(small, key), from = number_at(large, key);
    if (!to || !from || *to <= 0 || *from <= 0) continue;
    tiles.push_back({"Smaller", ratio_text(*from / *to),
                     fmt::format("{} MB to {} MB, {}", megabytes_text(from), megabytes_text(to), how)});
    return;
  }
}

void add_speed(const RunView& run, const std::string& name, std::vector<Tile>& tiles) {
  const Json* best = nullptr;
  Figure most;
  for (const Json& row : list_at(run.document(), "benchmarks")) {
    const Figure faster = text_at(row, "model") == name ? run.speedup(row) : std::nullopt;
    if (faster && (!most || *faster > *most)) {
      most = faster;
      best = &row;
    }
  }
  if (!best || run.baseline() == name) return;
  const Figure now = number_at(*best, "median_ms");
  tiles.push_back(
      {"Faster", ratio_text(most),
       fmt::format("{} ms to {} ms, {}, batch {}", milliseconds_text(*now * *most), milliseconds_text(now),
                   text_at(*best, "engine"), count_text(number_at(*best, "batch")))});
}

// What was simulated against what runs, and what training saw against what runs.
void add_agreement(const RunView& run, const std::string& name, std::vector<Tile>& tiles) {
  for (const auto& [kind, title] :
       {std::pair{"simulated", "Same as simulated"}, {"trained", "Same as trained"}}) {
    for (const Json& pair : list_at(run.document(), "comparisons")) {
      const Figure same = number_at(pair, "top1_agreement");
      if (text_at(pair, "kind") != kind || text_at(pair, "other") != name || !same) continue;
      tiles.push_back({title, percent_text(same, 2),
                       fmt::format("predictions of {} on {}, {} samples", name, text_at(pair, "other_engine"),
                                   count_text(number_at(pair, "samples")))});
      break;
    }
  }
}

void add_sparsity(const RunView& run, const std::string& name, std::vector<Tile>& tiles) {
  const Figure zeros = number_at(run.model(name), "sparsity");
  if (!zeros || *zeros <= 0) return;
  const Figure parameters = number_at(run.model(name), "parameters");
  tiles.push_back({"Sparsity", percent_text(zeros),
                   fmt::format("of the prunable weights; {} parameters in all", count_text(parameters))});
}

}  // namespace

std::vector<Tile> headline(const RunView& run) {
  std::vector<Tile> tiles;
  const std::string name = run.final_model();
  if (name.empty()) return tiles;
  add_accuracy(run, name, tiles);
  add_size(run, name, tiles);
  add_speed(run, name, tiles);
  add_agreement(run, name, tiles);
  add_sparsity(run, name, tiles);
  return tiles;
}

}  // namespace mc
