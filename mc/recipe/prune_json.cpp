// The document of `prune --json`.
#include "mc/recipe/prune_file.h"

namespace mc {
namespace {

Json size_json(const PrunedSize& size) {
  return {{"what", size.what},
          {"bytes", size.bytes},
          {"compressed_bytes", size.compressed_bytes},
          {"parameters", size.parameters},
          {"macs", size.macs},
          {"sparsity", size.sparsity}};
}

}  // namespace

Json to_json(const PruneFileReport& report) {
  Json sizes = Json::array(), weights = Json::array(), left = Json::array(), engines = Json::array();
  for (const PrunedSize& size : report.sizes) sizes.push_back(size_json(size));
  for (const WeightChange& weight : report.weights) {
    weights.push_back({{"name", weight.name},
                       {"shape_before", weight.before},
                       {"shape", weight.after},
                       {"sparsity", weight.sparsity},
                       {"pattern", weight.pattern}});
  }
  Json blocks = Json::array();
  for (const RemovedBlock& removed : report.blocks) {
    blocks.push_back({{"name", removed.block.name},
                      {"score", removed.score},
                      {"parameters", removed.block.parameters},
                      {"nodes", removed.block.nodes.size()}});
  }
  for (const LayerLeft& layer : report.left) left.push_back({{"name", layer.name}, {"reason", layer.reason}});
  for (const EngineGain& gain : report.gains)
    engines.push_back({{"engine", gain.engine}, {"faster", gain.faster}, {"why", gain.why}});
  Json latency, metric, comparison;
  if (report.latency) {
    latency = {{"engine", report.latency->engine},
               {"batch", report.latency->batch},
               {"before_ms", report.latency->before_ms},
               {"after_ms", report.latency->after_ms}};
  }
  if (!report.metric.empty()) {
    metric = {{"name", report.metric}, {"before", report.metric_before}, {"after", report.metric_after}};
  }
  if (report.comparison) comparison = to_json(*report.comparison);
  return {{"schema", "model-compression/prune/1"},
          {"model", report.options.model.string()},
          {"output", report.options.output.string()},
          {"method", report.options.method},
          {"target",
           {{"kind", name_of(report.options.target.kind)},
            {"value", report.options.target.value},
            {"relative", report.options.target.relative}}},
          {"pattern", report.pattern},
          {"sizes", sizes},
          {"weights", weights},
          {"round_to", report.round_to > 0 ? Json(report.round_to) : Json()},
          {"blocks", blocks},
          {"left", left},
          {"engines", engines},
          {"cut_error", report.cut_error ? Json(*report.cut_error) : Json()},
          {"cut_note", report.cut_note},
          {"latency", latency},
          {"engine_note", report.engine_note},
          {"comparison", comparison},
          {"metric", metric},
          {"data", report.data},
          {"random_data", report.random_data},
          {"seconds", report.seconds}};
}

}  // namespace mc
