#include "mc/prune/pruning_config.h"

#include <algorithm>
#include <regex>
#include <set>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/prune/distribution.h"
#include "mc/prune/sensitivity.h"

namespace mc {
namespace {

const std::vector<std::string> kLayerTypes = {"Linear",          "Conv1d",          "Conv2d",
                                              "Conv3d",          "ConvTranspose1d", "ConvTranspose2d",
                                              "ConvTranspose3d", "Embedding",       "RNN"};

std::string layer_type(const ParameterView& view) {
  switch (view.kind) {
    case ParameterKind::kConv:
      return fmt::format("{}{}d", view.channel_axis == 0 ? "Conv" : "ConvTranspose", view.tensor.dim() - 2);
    case ParameterKind::kLinear:
      return "Linear";
    case ParameterKind::kEmbedding:
      return "Embedding";
    case ParameterKind::kRecurrent:
      return "RNN";
    default:
      return "";
  }
}

struct LayerName {
  std::string layer, leaf;
};

LayerName layer_name(const std::string& parameter) {
  const size_t dot = parameter.rfind('.');
  if (dot == std::string::npos) return {parameter, parameter};
  return {parameter.substr(0, dot), parameter.substr(dot + 1)};
}

std::regex compiled(const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error&) {
    fail("pruning: '{}' is no regular expression", pattern);
  }
}

// Reads the configuration rule by rule, and remembers which patterns found something.
class TargetFinder {
 public:
  TargetFinder(const PruningConfig& config, std::vector<ParameterView> views)
      : config_(config), views_(std::move(views)) {
    for (const auto& [type, kwargs] : config.prune_layer_types) {
      MC_CHECK(std::ranges::count(kLayerTypes, type), "pruning: unknown layer type '{}'{}; known: {}", type,
               did_you_mean(type, kLayerTypes), join(kLayerTypes, ", "));
    }
  }

  std::vector<PruneTarget> find() {
    std::vector<std::string> problems;
    std::vector<PruneTarget> targets;
    for (const ParameterView& view : views_) {
      const std::optional<PruneKwargs> kwargs = kwargs_of(view);
      if (kwargs) add(view, *kwargs, targets, problems);
    }
    check_all_found();
    MC_CHECK(problems.empty(), "pruning: {}. Choose another method for them, or leave them out",
             join(problems, "; "));
    MC_CHECK(!targets.empty(), "pruning: there is no weight to prune{}",
             views_.empty() ? ": the module has no parameter" : "");
    return targets;
  }

 private:
  bool finds(const std::string& pattern, const std::string& layer) {
    if (!std::regex_search(layer, compiled(pattern))) return false;
    found_.insert(pattern);
    return true;
  }

  // By the rules of the reference; empty: stays dense.
  std::optional<PruneKwargs> kwargs_by_layer(const ParameterView& view) {
    const auto [layer, leaf] = layer_name(view.name);
    const auto means = [&, leaf = leaf](const PruneKwargs& kwargs) {
      return !kwargs.name || *kwargs.name == leaf;
    };
    std::optional<PruneKwargs> result;
    const std::map<std::string, PruneKwargs>& types = config_.prune_layer_types;
    const auto type = types.find(layer_type(view));
    if (is_prunable(view.kind) && (types.empty() || (type != types.end() && means(type->second)))) {
      result = config_.pruning_fn_default_kwargs;
      if (type != types.end()) result = type->second.over(*result);
      std::vector<std::string> fitting;
      for (const auto& [pattern, kwargs] : config_.weight_sparsity_map) {
        if (!finds(pattern, layer)) continue;
        fitting.push_back(pattern);
        result = kwargs.over(*result);
      }
      MC_CHECK(fitting.size() <= 1, "pruning: several entries of weight_sparsity_map fit '{}': {}", layer,
               join(fitting, ", "));
      for (const std::string& pattern : config_.not_to_prune) {
        if (finds(pattern, layer)) result.reset();
      }
    } else {
      // A rule for layers that stay dense anyway is no mistake.
      for (const std::string& pattern : config_.not_to_prune) finds(pattern, layer);
    }
    for (const auto& [pattern, kwargs] : config_.explicit_prune) {
      const bool weight = kwargs.name ? means(kwargs) : view.tensor.dim() >= 2;
      if (weight && finds(pattern, layer)) result = kwargs.over(config_.pruning_fn_default_kwargs);
    }
    return result;
  }

  std::optional<PruneKwargs> kwargs_of(const ParameterView& view) {
    std::optional<PruneKwargs> result = kwargs_by_layer(view);
    for (const auto& [pattern, rule] : config_.weights) {
      if (!glob_match(pattern, view.name)) continue;
      found_.insert(pattern);
      if (rule.not_to_prune) {
        result.reset();
        continue;
      }
      if (!result) result = config_.pruning_fn_default_kwargs;
      PruneKwargs own = rule.kwargs.value_or(PruneKwargs{});
      if (rule.pruning_fn) own.pruning_fn = rule.pruning_fn;
      if (own.pruning_fn && *own.pruning_fn != result->pruning_fn.value_or(config_.pruning_fn))
        result = kwargs_for(find_pruning_method(*own.pruning_fn), *result);
      result = own.over(*result);
    }
    return result;
  }

  void add(const ParameterView& view, PruneKwargs kwargs, std::vector<PruneTarget>& targets,
           std::vector<std::string>& problems) const {
    PruneTarget target{view.name, view.tensor, weight_axes(view), nullptr, {}};
    with_context([&] { return fmt::format("pruning of '{}'", view.name); },
                 [&] {
                   target.method = &find_pruning_method(kwargs.pruning_fn.value_or(config_.pruning_fn));
                   target.settings = settle_kwargs(*target.method, kwargs);
                 });
    try {
      check_structure(target.settings.structure, view.tensor.sizes(), target.axes);
    } catch (const Error& error) {
      problems.push_back(fmt::format("'{}': {}", view.name, error.what()));
    }
    targets.push_back(std::move(target));
  }

  void check_all_found() const {
    std::vector<std::string> names;
    for (const ParameterView& view : views_) names.push_back(view.name);
    const auto check = [&](const std::string& pattern) {
      MC_CHECK(found_.contains(pattern), "pruning: no parameter matches '{}'{}", pattern,
               did_you_mean(pattern, names));
    };
    for (const std::string& pattern : config_.not_to_prune) check(pattern);
    for (const auto& [pattern, kwargs] : config_.weight_sparsity_map) check(pattern);
    for (const auto& [pattern, kwargs] : config_.explicit_prune) check(pattern);
    for (const auto& [pattern, rule] : config_.weights) check(pattern);
  }

  const PruningConfig& config_;
  std::vector<ParameterView> views_;
  std::set<std::string> found_;
};

std::vector<int64_t> dims_of(const PruneTarget& target) {
  std::vector<int64_t> dims = target.parameter.sizes().vec();
  if (dims.size() < 2) return dims;
  // Channels first, wherever the layout has them.
  std::vector<int64_t> ordered = {dims[static_cast<size_t>(target.axes.output)],
                                  dims[static_cast<size_t>(target.axes.input)]};
  for (int64_t axis = 0; axis < static_cast<int64_t>(dims.size()); ++axis) {
    if (axis != target.axes.output && axis != target.axes.input)
      ordered.push_back(dims[static_cast<size_t>(axis)]);
  }
  return ordered;
}

// Weights that a rule of their own gives a sparsity keep it.
void spread_erdos_renyi(std::vector<PruneTarget>& targets, const PruningConfig& config) {
  const double sparsity = config.pruning_fn_default_kwargs.target_sparsity.value_or(0);
  std::vector<std::vector<int64_t>> dims;
  std::vector<PruneTarget*> spread;
  for (PruneTarget& target : targets) {
    if (target.settings.target != sparsity || target.settings.group == "global") continue;
    spread.push_back(&target);
    dims.push_back(dims_of(target));
  }
  if (spread.empty()) return;
  const std::vector<double> sparsities = erdos_renyi(dims, sparsity, config.init_strategy == "erk");
  for (size_t i = 0; i < spread.size(); ++i) spread[i]->settings.target = sparsities[i];
}

}  // namespace

bool is_prunable(ParameterKind kind) {
  return kind == ParameterKind::kConv || kind == ParameterKind::kLinear ||
         kind == ParameterKind::kEmbedding || kind == ParameterKind::kRecurrent;
}

std::vector<PruneTarget> prune_targets(torch::nn::Module& module, const PruningConfig& config) {
  static const std::vector<std::string> kStrategies = {"uniform", "er", "erk", "global", "sensitivity"};
  const std::string& strategy = config.init_strategy;
  MC_CHECK(std::ranges::count(kStrategies, strategy), "pruning: unknown init_strategy '{}'{}; known: {}",
           strategy, did_you_mean(strategy, kStrategies), join(kStrategies, ", "));
  PruningConfig rules = config;
  if (strategy == "er" || strategy == "erk") {
    if (!rules.weight_sparsity_map.empty())
      warn("pruning: weight_sparsity_map does nothing where init_strategy is {}", strategy);
    rules.weight_sparsity_map.clear();
  }
  std::vector<PruneTarget> targets = TargetFinder(rules, parameter_views(module)).find();
  if (strategy == "er" || strategy == "erk") spread_erdos_renyi(targets, rules);
  if (strategy == "sensitivity") spread_by_sensitivity(module, targets, rules.data);
  for (PruneTarget& target : targets) {
    if (strategy == "global" && target.settings.group.empty()) target.settings.group = "global";
  }
  return targets;
}

}  // namespace mc
