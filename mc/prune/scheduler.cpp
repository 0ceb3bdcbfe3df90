#include <algorithm>
#include <set>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/apply_mask.h"
#include "mc/module/graph_module.h"
#include "mc/prune/prune.h"

namespace mc {
namespace {

bool prunable(ParameterKind kind) {
  return kind == ParameterKind::kConv || kind == ParameterKind::kLinear ||
         kind == ParameterKind::kEmbedding || kind == ParameterKind::kRecurrent;
}

void check_range(const char* what, double sparsity) {
  MC_CHECK(sparsity >= 0 && sparsity < 1, "pruning: {} must be in [0, 1), is {}", what, sparsity);
}

}  // namespace

struct IterativePruningScheduler::Impl {
  // One weight with the method that prunes it. GraphModules hold their masks themselves, so that they
  // reach export and later stages; for plain modules the mask is kept here.
  struct Entry {
    std::string name;
    at::Tensor parameter;  // of a plain module; a GraphModule's is looked up, since edits replace it
    const PruningMethod* method = nullptr;
    PruneKwargs kwargs;
    at::Tensor mask;
  };

  IterativePruningConfig config;
  GraphModule* graph = nullptr;
  std::vector<Entry> entries;
  int64_t step = 0;
  bool removed = false;

  Impl(torch::nn::Module& module, IterativePruningConfig given)
      : config(std::move(given)), graph(dynamic_cast<GraphModule*>(&module)) {
    MC_CHECK(config.pruning_frequency >= 1, "pruning: pruning_frequency must be at least 1, is {}",
             config.pruning_frequency);
    MC_CHECK(config.policy_begin_step <= config.policy_end_step,
             "pruning: policy_begin_step ({}) is after policy_end_step ({})", config.policy_begin_step,
             config.policy_end_step);
    if (config.end_pruning_step < 0) config.end_pruning_step = config.policy_end_step;
    std::set<std::string> used;
    std::vector<std::string> names;
    for (const ParameterView& view : parameter_views(module)) {
      names.push_back(view.name);
      add(view, used);
    }
    for (const auto& [pattern, rule] : config.weights) {
      MC_CHECK(used.count(pattern), "pruning: no parameter matches '{}'{}", pattern,
               did_you_mean(pattern, names));
    }
    MC_CHECK(!entries.empty(),
             "pruning: the module has no convolution, linear, embedding or recurrent weight to prune");
  }

  void add(const ParameterView& view, std::set<std::string>& used) {
    Entry entry{view.name, view.tensor, nullptr, config.pruning_fn_default_kwargs, {}};
    std::string method = config.pruning_fn;
    bool wanted = prunable(view.kind);
    for (const auto& [pattern, rule] : config.weights) {
      if (!glob_match(pattern, view.name)) continue;
      used.insert(pattern);
      wanted = !rule.not_to_prune;
      if (rule.pruning_fn) method = *rule.pruning_fn;
      if (rule.kwargs) entry.kwargs = *rule.kwargs;
    }
    if (!wanted) return;
    entry.method = &find_pruning_method(method);
    check_range("target_sparsity", entry.kwargs.target_sparsity);
    check_range("initial_sparsity", entry.kwargs.initial_sparsity);
    entries.push_back(std::move(entry));
  }

  at::Tensor weight(const Entry& entry) const { return graph ? graph->tensor(entry.name) : entry.parameter; }
  at::Tensor mask(const Entry& entry) const { return graph ? graph->mask(entry.name) : entry.mask; }

  bool due() const {
    return step >= config.begin_pruning_step && step <= config.end_pruning_step &&
           ((step - config.begin_pruning_step) % config.pruning_frequency == 0 ||
            step == config.end_pruning_step);
  }

  void update_masks() {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> masks;  // all of them before any weight changes
    for (const Entry& entry : entries) {
      const at::Tensor current = weight(entry);
      const double sparsity = cubic_sparsity(entry.kwargs.initial_sparsity, entry.kwargs.target_sparsity,
                                             step, config.policy_begin_step, config.policy_end_step);
      MC_CHECK(at::isfinite(current.sum()).item<bool>(), "pruning: parameter '{}' holds NaN or infinity",
               entry.name);
      masks.push_back(entry.method->mask(current, sparsity));
    }
    for (size_t i = 0; i < entries.size(); ++i) {
      if (graph) {
        graph->set_mask(entries[i].name, masks[i]);
      } else {
        entries[i].mask = masks[i];
      }
    }
  }

  void apply() {
    if (graph) return graph->apply_masks();
    std::vector<MaskedTensor> masked;
    for (const Entry& entry : entries) {
      if (entry.mask.defined()) masked.push_back({entry.parameter, entry.mask});
    }
    apply_masks(masked);
  }
};

IterativePruningScheduler::IterativePruningScheduler(torch::nn::Module& module, IterativePruningConfig config)
    : impl_(std::make_unique<Impl>(module, std::move(config))) {}
IterativePruningScheduler::~IterativePruningScheduler() = default;

void IterativePruningScheduler::update() {
  MC_CHECK(!impl_->removed, "pruning: step() after remove_pruning()");
  if (impl_->due()) impl_->update_masks();
}

void IterativePruningScheduler::step() {
  update();
  impl_->apply();
  ++impl_->step;
}

void IterativePruningScheduler::remove_pruning() {
  if (impl_->removed) return;
  impl_->apply();
  impl_->removed = true;
  for (Impl::Entry& entry : impl_->entries) {
    if (impl_->graph) impl_->graph->set_mask(entry.name, at::Tensor());
    entry.mask = at::Tensor();
  }
}

std::map<std::string, double> IterativePruningScheduler::sparsity_by_parameter() const {
  std::map<std::string, double> result;
  for (const Impl::Entry& entry : impl_->entries) {
    const at::Tensor weight = impl_->weight(entry);
    result[entry.name] = weight.eq(0).sum().item<double>() / static_cast<double>(weight.numel());
  }
  return result;
}

double IterativePruningScheduler::sparsity() const {
  double zeros = 0, total = 0;
  for (const Impl::Entry& entry : impl_->entries) {
    const at::Tensor weight = impl_->weight(entry);
    zeros += weight.eq(0).sum().item<double>();
    total += static_cast<double>(weight.numel());
  }
  return zeros / total;
}

int64_t IterativePruningScheduler::current_step() const {
  return impl_->step;
}
void IterativePruningScheduler::set_step(int64_t step) {
  impl_->step = step;
}

OneShotPruningScheduler::OneShotPruningScheduler(torch::nn::Module& module, IterativePruningConfig config) {
  config.begin_pruning_step = config.end_pruning_step = config.policy_begin_step = config.policy_end_step = 0;
  scheduler_ = std::make_unique<IterativePruningScheduler>(module, std::move(config));
  scheduler_->step();
}
OneShotPruningScheduler::~OneShotPruningScheduler() = default;
void OneShotPruningScheduler::step() {
  scheduler_->step();
}
void OneShotPruningScheduler::remove_pruning() {
  scheduler_->remove_pruning();
}
double OneShotPruningScheduler::sparsity() const {
  return scheduler_->sparsity();
}

std::map<std::string, double> weight_sparsity(torch::nn::Module& module) {
  std::map<std::string, double> result;
  for (const ParameterView& view : parameter_views(module)) {
    if (!prunable(view.kind)) continue;
    result[view.name] = view.tensor.eq(0).sum().item<double>() / static_cast<double>(view.tensor.numel());
  }
  return result;
}

}  // namespace mc
