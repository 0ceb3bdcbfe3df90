#include "mc/base/error.h"
#include "mc/module/parameter_view.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/prune.h"
#include "mc/recipe/stage.h"

namespace mc {
namespace {

Json row_json(const StageResultRow& row) {
  return {{"name", row.name},       {"epochs", row.epochs},
          {"steps", row.steps},     {"metric_name", row.metric_name},
          {"metric", row.metric},   {"sparsity", row.sparsity},
          {"seconds", row.seconds}, {"methods", row.methods}};
}

StageResultRow row_from_json(const Json& json) {
  StageResultRow row;
  row.name = json.at("name");
  row.epochs = json.at("epochs");
  row.steps = json.at("steps");
  row.metric_name = json.at("metric_name");
  row.metric = json.at("metric");
  row.sparsity = json.at("sparsity");
  row.seconds = json.at("seconds");
  row.methods = json.at("methods").get<std::vector<std::string>>();
  return row;
}

}  // namespace

StageOutcome describe_network(const Model& model) {
  StageOutcome outcome;
  GraphModule module(model);
  double zeros = 0, elements = 0;
  for (const auto& [name, sparsity] : weight_sparsity(module)) {
    const int64_t count = module.tensor(name).numel();
    outcome.sparsity.push_back({"", name, sparsity, count});
    zeros += sparsity * static_cast<double>(count);
    elements += static_cast<double>(count);
  }
  outcome.row.sparsity = elements > 0 ? zeros / elements : 0;
  for (const std::string& name : module.names(Role::kWeight))
    outcome.parameters += module.tensor(name).numel();
  outcome.macs = static_cast<int64_t>(model_macs(model));
  return outcome;
}

Json to_json(const StageOutcome& outcome) {
  Json sparsity = Json::array(), layers = Json::array();
  for (const LayerSparsity& layer : outcome.sparsity) {
    sparsity.push_back({{"layer", layer.layer}, {"sparsity", layer.sparsity}, {"elements", layer.elements}});
  }
  for (const QuantizedLayerResult& layer : outcome.layers) {
    layers.push_back(
        {{"layer", layer.layer}, {"op", layer.op}, {"quantized", layer.quantized}, {"reason", layer.reason}});
  }
  return {{"row", row_json(outcome.row)},
          {"sparsity", sparsity},
          {"layers", layers},
          {"parameters", outcome.parameters},
          {"macs", outcome.macs}};
}

StageOutcome stage_outcome_from_json(const Json& json) {
  try {
    StageOutcome outcome;
    outcome.row = row_from_json(json.at("row"));
    for (const Json& layer : json.at("sparsity")) {
      outcome.sparsity.push_back({"", layer.at("layer"), layer.at("sparsity"), layer.at("elements")});
    }
    for (const Json& layer : json.at("layers")) {
      outcome.layers.push_back(
          {"", layer.at("layer"), layer.at("op"), layer.at("quantized"), layer.at("reason")});
    }
    outcome.parameters = json.at("parameters");
    outcome.macs = json.at("macs");
    return outcome;
  } catch (const Json::exception& error) {
    fail("the record of a finished stage cannot be read: {}", error.what());
  }
}

}  // namespace mc
