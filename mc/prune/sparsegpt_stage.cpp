#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "mc/base/error.h"
#include "mc/prune/calibrated.h"
#include "mc/prune/score_samples.h"
#include "mc/prune/stages.h"

namespace mc {
namespace {

class SparseGptStage : public Method {
 public:
  explicit SparseGptStage(PruneOptions options) : options_(std::move(options)) {}

  std::string name() const override { return "prune"; }

  void begin(StageContext& context, bool resumed) override {
    module_ = &context.module;
    if (resumed) return;
    CalibratedOptions how;
    how.sparsity = options_.target_sparsity.value_or(0.8);
    how.keep_dense = options_.keep_dense;
    if (!find_pruning_method(options_.method).structure_kwargs.empty()) {
      how.structure = NToM{options_.n, options_.m};
    }
    const ScoreData data = score_data(context, options_.score_batches);
    prune_layers(context.module, score_samples(data), how);
  }

  Json figures() const override {
    if (!module_) return Json::object();
    double gone = 0, all = 0;
    for (const std::string& name : module_->masked()) {
      const at::Tensor mask = module_->mask(name);
      gone += mask.logical_not().sum().item<double>();
      all += static_cast<double>(mask.numel());
    }
    return {{"sparsity", all > 0 ? gone / all : 0}};
  }

 private:
  PruneOptions options_;
  GraphModule* module_ = nullptr;
};

}  // namespace

std::shared_ptr<Method> make_sparsegpt_stage(const PruneOptions& options) {
  MC_CHECK(options.layers.empty() && options.layer_types.empty() && options.distribution == "uniform",
           "{} prunes every layer alike: leave layers, layer_types and distribution out", options.method);
  return std::make_shared<SparseGptStage>(options);
}

}  // namespace mc
