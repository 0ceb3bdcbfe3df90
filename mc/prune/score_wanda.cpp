// Wanda as a score (see wanda.h). It compares the weights of one output only, so that what is given is a
// weight's rank in its row, from 0 to below 1: a mask of a layer then takes the same part of every row.
#include <map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/calibration/layer_matrix.h"
#include "mc/prune/data_scores.h"
#include "mc/prune/layer_list.h"
#include "mc/prune/score_samples.h"
#include "mc/prune/wanda.h"

namespace mc {
namespace {

class WandaScore : public Score {
 public:
  void begin(const ScoreContext& context) override { layers_of(context); }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    const std::map<std::string, PrunableLayer> layers = layers_of(context);
    std::map<std::string, InputView> views;
    for (const PrunedWeight& weight : context.weights) {
      views[weight.name] = layers.at(weight.name).input;
    }
    auto& module = dynamic_cast<GraphModule&>(context.module);
    const CollectedInputs inputs =
        collect_inputs(module, views, score_samples(context.data), {.hessians = false});
    std::vector<ScoreTensor> scores;
    for (const PrunedWeight& weight : context.weights) {
      const Node& node = layers.at(weight.name).node;
      const at::Tensor square = inputs.values.at(weight.name).square.to(weight.tensor.device());
      const at::Tensor matrix = wanda_scores(to_matrix(node, weight.tensor.detach()), square);
      constexpr int64_t kRow = -1;
      const at::Tensor ranks = matrix.argsort(kRow).argsort(kRow);
      const at::Tensor scaled = ranks.to(at::kDouble).div(static_cast<double>(matrix.size(-1)));
      scores.push_back({from_matrix(node, scaled, weight.tensor.sizes())});
    }
    return scores;
  }

 private:
  // The layers by weight; all that are pruned are among them.
  static std::map<std::string, PrunableLayer> layers_of(const ScoreContext& context) {
    const auto* module = dynamic_cast<const GraphModule*>(&context.module);
    MC_CHECK(module, "wanda: the module must be a GraphModule, whose layers' inputs can be seen");
    MC_CHECK(context.data.batches > 0 && context.data.inputs,
             "wanda: this score needs samples, and there are none");
    std::map<std::string, PrunableLayer> layers;
    for (PrunableLayer& layer : list_layers(*module).layers) layers[layer.weight] = std::move(layer);
    for (const PrunedWeight& weight : context.weights) {
      MC_CHECK(layers.contains(weight.name),
               "wanda: '{}' is not the weight of one convolution or matrix product; keep it dense",
               weight.name);
    }
    return layers;
  }
};

}  // namespace

at::Tensor wanda_scores(const at::Tensor& weight, const at::Tensor& square) {
  return weight.abs() * square.sqrt().unsqueeze(-2);
}

std::unique_ptr<Score> make_wanda_score() {
  return std::make_unique<WandaScore>();
}

}  // namespace mc
