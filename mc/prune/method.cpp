#include <cmath>

#include "mc/prune/importance.h"
#include "mc/prune/prune.h"

namespace mc {
namespace {

class PruneMethod : public Method {
 public:
  explicit PruneMethod(PruneOptions options) : options_(std::move(options)) {}

  std::string name() const override { return "prune"; }

  void begin(StageContext& context, bool) override {
    const auto steps = static_cast<double>(context.total_steps());
    IterativePruningConfig config;
    config.pruning_fn = options_.method;
    config.pruning_fn_default_kwargs = {options_.target_sparsity, options_.initial_sparsity};
    config.policy_begin_step = config.begin_pruning_step = std::llround(options_.begin * steps);
    // The last mask falls inside the stage, whatever `end` says.
    const int64_t last = std::max<int64_t>(context.total_steps() - 1, 0);
    config.policy_end_step = std::min<int64_t>(std::llround(options_.end * steps), last);
    config.policy_end_step = std::max(config.policy_end_step, config.policy_begin_step);
    if (options_.schedule == "one_shot") config.policy_end_step = config.policy_begin_step;
    config.pruning_frequency = options_.frequency;
    for (const std::string& pattern : options_.keep_dense) config.weights[pattern].not_to_prune = true;
    scheduler_ = std::make_unique<IterativePruningScheduler>(context.module, config);
  }

  void after_step(StepContext& context) override {
    // The loop applies the module's masks in every step, and a new mask applies itself.
    scheduler_->set_step(context.step);
    scheduler_->update();
  }

  Json figures() const override {
    if (!scheduler_) return Json::object();
    return {{"sparsity", scheduler_->sparsity()}};
  }

 private:
  PruneOptions options_;
  std::unique_ptr<IterativePruningScheduler> scheduler_;
};

}  // namespace

std::vector<std::string> stage_methods() {
  std::vector<std::string> names = list_methods();
  for (const Importance& importance : importances()) names.push_back(importance.name);
  return names;
}

std::shared_ptr<Method> make_prune_method(const PruneOptions& options) {
  if (is_channel_method(options.method)) {
    return make_channel_method(
        {options.method, options.channels, options.begin, options.end, options.keep_dense});
  }
  find_pruning_method(options.method);
  return std::make_shared<PruneMethod>(options);
}

}  // namespace mc
