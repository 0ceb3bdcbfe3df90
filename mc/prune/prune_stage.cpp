#include "mc/prune/prune_stage.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/block_order.h"
#include "mc/prune/importance.h"
#include "mc/prune/scheduler.h"
#include "mc/prune/stages.h"

namespace mc {
namespace {

PruneKwargs kwargs_of(const PruneOptions& options) {
  const PruningMethod& method = find_pruning_method(options.method);
  const auto has = [&](const char* name) { return std::ranges::count(method.structure_kwargs, name) > 0; };
  PruneKwargs kwargs;
  if (has("block_size")) kwargs.block_size = options.block_size;
  if (has("block_dims")) kwargs.block_dims = options.block_dims;
  if (has("pooling_type")) kwargs.pooling_type = options.pooling_type;
  if (has("n")) kwargs.n = options.n;
  if (has("m")) kwargs.m = options.m;
  if (options.regrow != "method") kwargs.regrow = options.regrow;
  kwargs.target_sparsity = options.target_sparsity;
  if (!method.iterative) return kwargs;
  if (!options.target_sparsity && !has("n")) kwargs.target_sparsity = 0.8;
  kwargs.initial_sparsity = options.initial_sparsity;
  kwargs.threshold_decay = options.threshold_decay;
  return kwargs;
}

IterativePruningConfig config_of(const PruneOptions& options, int64_t total_steps) {
  const auto steps = static_cast<double>(total_steps);
  IterativePruningConfig config;
  config.pruning_fn = options.method;
  config.pruning_fn_default_kwargs = kwargs_of(options);
  config.pruning_frequency = options.frequency;
  config.schedule = options.is_one_shot() ? "one_shot" : options.schedule;
  config.cycles = options.cycles;
  config.init_strategy = options.distribution;
  for (const std::string& type : options.layer_types) config.prune_layer_types[type] = {};
  for (const auto& [pattern, kwargs] : options.layers) config.weights[pattern].kwargs = kwargs;
  for (const std::string& pattern : options.keep_dense) config.weights[pattern].not_to_prune = true;
  config.policy_begin_step = config.begin_pruning_step = std::llround(options.begin * steps);
  // The last mask falls inside the stage, whatever `end` says.
  const int64_t last = std::max<int64_t>(total_steps - 1, 0);
  config.policy_end_step = std::min<int64_t>(std::llround(options.end * steps), last);
  config.policy_end_step = std::max(config.policy_end_step, config.policy_begin_step);
  if (options.is_one_shot()) config.policy_end_step = config.policy_begin_step;
  config.end_pruning_step = config.policy_end_step;
  return config;
}

ChannelMethodPlan channel_plan_of(const PruneOptions& options) {
  return {options.method, options.channels,   options.begin,
          options.end,    options.keep_dense, options.score_batches};
}

}  // namespace

ScoreData score_data(const StageContext& context, int64_t count) {
  auto batches = std::make_shared<std::vector<Batch>>();
  context.loader.start(0);
  while (static_cast<int64_t>(batches->size()) < count) {
    std::optional<Batch> batch = context.loader.next();
    if (!batch) break;
    batches->push_back(std::move(*batch));
  }
  ScoreData data;
  data.batches = static_cast<int64_t>(batches->size());
  data.inputs = [batches](int64_t i) { return batches->at(static_cast<size_t>(i)).inputs; };
  data.loss = [batches, loss = context.loss, &module = context.module](int64_t i) {
    const Batch& batch = batches->at(static_cast<size_t>(i));
    const std::vector<at::Tensor> outputs = module.forward(batch.inputs);
    MC_CHECK(!outputs.empty(), "the model has no output to compute a loss of");
    return loss(outputs[0], batch.labels);
  };
  return data;
}

namespace {

bool needs_samples(const IterativePruningConfig& config) {
  if (config.init_strategy == "sensitivity") return true;
  const auto asks = [](const std::string& method) {
    return find_score(find_pruning_method(method).score).needs_data;
  };
  return asks(config.pruning_fn) || std::ranges::any_of(config.weights, [&](const auto& entry) {
           return entry.second.kwargs && entry.second.kwargs->pruning_fn &&
                  asks(*entry.second.kwargs->pruning_fn);
         });
}

class PruneMethod : public Method {
 public:
  PruneMethod(PruneOptions options, std::map<std::string, at::Tensor> rewind)
      : options_(std::move(options)), rewind_(std::move(rewind)) {}

  std::string name() const override { return "prune"; }

  void begin(StageContext& context, bool resumed) override {
    check_rewind(context.module);
    IterativePruningConfig config = config_of(options_, context.total_steps());
    config.initial_step = resumed ? 1 : 0;
    if (needs_samples(config)) config.data = score_data(context, options_.score_batches);
    last_step_ = config.policy_end_step;
    scheduler_ = std::make_unique<IterativePruningScheduler>(context.module, config);
    // One mask at the very beginning: it holds from the first step on.
    if (!resumed && last_step_ == 0 && !scheduler_->needs_gradients()) make_masks(context.module, 0);
  }

  void after_backward(StepContext&) override { scheduler_->before_update(); }
  void after_update(StepContext&) override { scheduler_->after_update(); }

  void after_step(StepContext& context) override {
    if (last_step_ == 0 && !scheduler_->needs_gradients()) return;
    if (make_masks(context.module, context.step)) context.restart_optimizer = true;
  }

  Json figures() const override { return scheduler_ ? scheduler_->log() : Json::object(); }
  std::map<std::string, at::Tensor> save() const override { return scheduler_->save(); }
  void load(const std::map<std::string, at::Tensor>& state) override { scheduler_->load(state); }

 private:
  void check_rewind(const GraphModule& module) const {
    for (const auto& [name, value] : rewind_) {
      MC_CHECK(module.tensor(name).sizes() == value.sizes(),
               "prune: '{}' cannot be rewound, its shape has changed since", name);
    }
  }

  // The loop applies the module's masks in every step, and a new mask applies itself. True where weights were
  // rewound.
  bool make_masks(GraphModule& module, int64_t step) {
    scheduler_->set_step(step);
    scheduler_->update();
    if (step != last_step_ || rewind_.empty()) return false;
    const at::NoGradGuard no_grad;
    for (const auto& [name, value] : rewind_) module.tensor(name).copy_(value);
    scheduler_->reset_latent();
    module.apply_masks();
    return true;
  }

  PruneOptions options_;
  std::map<std::string, at::Tensor> rewind_;
  std::unique_ptr<IterativePruningScheduler> scheduler_;
  int64_t last_step_ = 0;
};

}  // namespace

std::vector<std::string> stage_methods() {
  std::vector<std::string> names = list_methods();
  for (const Importance& importance : importances()) names.push_back(importance.name);
  for (const std::string& name : block_method_names()) names.push_back(name);
  return names;
}

bool PruneOptions::is_one_shot() const {
  return schedule == "one_shot" || !find_pruning_method(method).iterative;
}

void PruneOptions::check() const {
  if (is_block_method(method)) return check_block_options(*this);
  if (is_channel_method(method)) return check_channel_plan(channel_plan_of(*this));
  const PruningMethod& chosen = find_pruning_method(method);
  settle_kwargs(chosen, kwargs_of(*this));
  MC_CHECK(begin <= end || is_one_shot(), "end ({}) is before begin ({})", end, begin);
  MC_CHECK(chosen.one_shot || !is_one_shot(), "{} needs masks again and again; choose another schedule",
           method);
  MC_CHECK(chosen.iterative || !target_sparsity, "{} has no target_sparsity", method);
  for (const auto& [pattern, kwargs] : layers) {
    with_context([&, &key = pattern] { return "layers." + key; },
                 [&, &own = kwargs] {
                   const std::string other = own.pruning_fn.value_or(method);
                   PruneKwargs base = kwargs_of(*this);
                   if (other != method) base = kwargs_for(find_pruning_method(other), base);
                   settle_kwargs(find_pruning_method(other), own.over(base));
                 });
  }
}

std::shared_ptr<Method> make_prune_method(const PruneOptions& options,
                                          std::map<std::string, at::Tensor> rewind,
                                          const MakeSpeedMeter& meter) {
  options.check();
  MC_CHECK(meter || !options.channels.speedup, "{}: nothing was given to measure a speed-up with",
           options.method);
  if (is_block_method(options.method)) return make_block_stage(options, meter);
  if (is_channel_method(options.method)) return make_channel_method(channel_plan_of(options), meter);
  if (const auto stage = find_pruning_method(options.method).stage) {
    MC_CHECK(rewind.empty(), "{} cannot rewind weights", options.method);
    return stage(options);
  }
  return std::make_shared<PruneMethod>(options, std::move(rewind));
}

}  // namespace mc
