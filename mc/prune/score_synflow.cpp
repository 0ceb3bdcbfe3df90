// SynFlow as a score: the order in which algorithm 1 of the paper (see synflow.h) removes weights. Pruning by
// the flow once would cut whole layers; the algorithm looks again after every small part. Its densities
// shrink by one factor each time, so that the order up to any sparsity is that of a run which ends there.
#include <cmath>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/data_scores.h"
#include "mc/prune/synflow.h"

namespace mc {
namespace {

constexpr double kKeptEachTime = 0.95;
constexpr double kLeastDensity = 1e-3;  // what is left then is ordered by its last flow

const GraphModule& graph_of(const ScoreContext& context) {
  const auto* module = dynamic_cast<const GraphModule*>(&context.module);
  MC_CHECK(module, "synflow: the module must be a GraphModule, which can be run on inputs of ones");
  return *module;
}

// Weights with those already removed at zero, for a while.
class Removing {
 public:
  explicit Removing(const std::vector<PrunedWeight>& weights) {
    for (const PrunedWeight& weight : weights) {
      weights_.push_back(weight.tensor.detach());
      saved_.push_back(weight.tensor.detach().clone());
    }
  }
  ~Removing() {
    for (size_t i = 0; i < weights_.size(); ++i) weights_[i].copy_(saved_[i]);
  }
  Removing(const Removing&) = delete;
  Removing& operator=(const Removing&) = delete;

  // `removed`: indices into all weights one after another.
  void remove(const at::Tensor& removed) {
    int64_t begin = 0;
    for (const at::Tensor& weight : weights_) {
      const int64_t end = begin + weight.numel();
      const at::Tensor here = removed.masked_select(removed.ge(begin) & removed.lt(end)) - begin;
      at::Tensor flat = weight.contiguous().flatten();
      if (here.numel() > 0) weight.copy_(flat.index_fill(0, here, 0).view(weight.sizes()));
      begin = end;
    }
  }

 private:
  std::vector<at::Tensor> weights_;
  std::vector<at::Tensor> saved_;
};

class SynflowScore : public Score {
 public:
  void begin(const ScoreContext& context) override { graph_of(context); }

  std::vector<ScoreTensor> compute(const ScoreContext& context) override {
    graph_of(context);
    auto& module = dynamic_cast<GraphModule&>(context.module);
    std::vector<std::string> names;
    std::vector<at::Tensor> keep;
    for (const PrunedWeight& weight : context.weights) {
      names.push_back(weight.name);
      const at::Tensor kept = weight.mask.defined() ? weight.mask : at::ones_like(weight.tensor, at::kBool);
      keep.push_back(kept.flatten());
    }
    const std::vector<at::Tensor> example =
        context.data.batches > 0 ? context.data.inputs(0) : std::vector<at::Tensor>();
    const std::vector<at::Tensor> ones = ones_for(module, example);
    return split(context, removal_order(context, names, module, ones, at::cat(keep)));
  }

 private:
  // For every weight when it goes: 0 for the first; those gone before count as one.
  static at::Tensor removal_order(const ScoreContext& context, const std::vector<std::string>& names,
                                  GraphModule& module, const std::vector<at::Tensor>& ones,
                                  const at::Tensor& kept) {
    at::Tensor order = at::zeros(kept.sizes(), kept.options().dtype(at::kDouble));
    Removing removing(context.weights);
    at::Tensor alive = kept.nonzero().flatten();
    removing.remove(kept.logical_not().nonzero().flatten());
    const int64_t total = alive.size(0);
    int64_t gone = 0;
    double density = 1;
    while (gone < total) {
      std::vector<at::Tensor> flows;
      for (const at::Tensor& flow : synaptic_flow(module, names, ones)) {
        flows.push_back(flow.contiguous().flatten());
      }
      const at::Tensor ranking =
          at::argsort(at::cat(flows).index_select(0, alive), /*stable=*/true, int64_t{0});
      density *= kKeptEachTime;
      int64_t left = std::llround(density * static_cast<double>(total));
      if (density < kLeastDensity) left = 0;
      const int64_t now = std::max<int64_t>(total - left - gone, 0);
      const at::Tensor removed = alive.index_select(0, ranking.narrow(0, 0, now));
      order.index_copy_(0, removed, at::arange(gone + 1, gone + now + 1, order.options()));
      removing.remove(removed);
      alive = alive.index_select(0, ranking.narrow(0, now, ranking.size(0) - now));
      gone += now;
    }
    return order;
  }

  static std::vector<ScoreTensor> split(const ScoreContext& context, const at::Tensor& order) {
    std::vector<ScoreTensor> scores;
    int64_t begin = 0;
    for (const PrunedWeight& weight : context.weights) {
      const int64_t count = weight.tensor.numel();
      scores.push_back({order.narrow(0, begin, count).view(weight.tensor.sizes())});
      begin += count;
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Score> make_synflow_score() {
  return std::make_unique<SynflowScore>();
}

}  // namespace mc
