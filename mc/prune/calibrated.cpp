#include "mc/prune/calibrated.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/prune/calibrated_layer.h"
#include "mc/prune/output_error.h"
#include "mc/prune/sensitivity.h"

namespace mc {
namespace {

void check_options(const CalibratedOptions& options) {
  const std::vector<std::string>& known = calibrated_methods();
  MC_CHECK(std::ranges::find(known, options.method) != known.end(),
           "unknown method of pruning from samples '{}'{}; known: {}", options.method,
           did_you_mean(options.method, known), join(known, ", "));
  MC_CHECK(options.damping > 0 && options.damping <= 1,
           "pruning: damping is {}; it must be above 0, at most 1", options.damping);
  const std::vector<std::string> spreads = {"uniform", "erk", "sensitivity"};
  MC_CHECK(std::ranges::find(spreads, options.distribution) != spreads.end(),
           "unknown distribution of sparsity '{}'{}; known: {}", options.distribution,
           did_you_mean(options.distribution, spreads), join(spreads, ", "));
  MC_CHECK(options.distribution == "uniform" || !std::holds_alternative<NToM>(options.structure),
           "an N:M pattern has one sparsity for every layer; leave the distribution out");
  const auto in_range = [](double sparsity) { return sparsity >= 0 && sparsity < 1; };
  MC_CHECK(in_range(options.sparsity), "pruning: sparsity must be in [0, 1), is {}", options.sparsity);
  for (const auto& [name, sparsity] : options.by_weight) {
    MC_CHECK(in_range(sparsity), "pruning: the sparsity of '{}' must be in [0, 1), is {}", name, sparsity);
  }
}

// Weights and masks as they were, unless told that all went well.
class Restorer {
 public:
  Restorer(GraphModule& module, const std::vector<PrunableLayer>& layers) : module_(module) {
    for (const PrunableLayer& layer : layers) {
      const at::Tensor mask = module.mask(layer.weight);
      if (!layer.bias.empty()) {
        const at::Tensor bias = module.tensor(layer.bias).detach();
        biases_.emplace_back(bias, bias.clone());
      }
      saved_.push_back(
          {layer.weight, module.tensor(layer.weight).detach().clone(), mask.defined() ? mask.clone() : mask});
    }
  }
  ~Restorer() {
    if (done_) return;
    const at::NoGradGuard no_grad;
    for (const Saved& saved : saved_) {
      module_.set_mask(saved.name, saved.mask);
      module_.tensor(saved.name).copy_(saved.weight);
    }
    for (auto& [bias, values] : biases_) bias.copy_(values);
  }
  Restorer(const Restorer&) = delete;
  Restorer& operator=(const Restorer&) = delete;
  void done() { done_ = true; }

 private:
  struct Saved {
    std::string name;
    at::Tensor weight;
    at::Tensor mask;
  };
  GraphModule& module_;
  std::vector<Saved> saved_;
  std::vector<std::pair<at::Tensor, at::Tensor>> biases_;  // with their values
  bool done_ = false;
};

class CalibratedPruner {
 public:
  CalibratedPruner(GraphModule& module, const Samples& samples, const CalibratedOptions& options)
      : module_(module), samples_(samples), options_(options), by_weight_(options.by_weight) {
    check_options(options);
    LayerList list = list_layers(module);
    report_.left = std::move(list.others);
    check_names(list.layers);
    for (PrunableLayer& layer : list.layers) add(std::move(layer));
    MC_CHECK(!layers_.empty(), "pruning: no layer can be pruned{}",
             report_.left.empty() ? ": the model has no convolution and no matrix product"
                                  : ": " + report_.left[0].name + ": " + report_.left[0].reason);
  }

  CalibratedReport run() {
    const at::NoGradGuard no_grad;
    const bool looks = options_.method != "magnitude" || options_.distribution == "sensitivity";
    MC_CHECK(!looks || samples_.pass,
             "{} weighs errors by samples, and there are none; give data, or take magnitude",
             options_.distribution == "sensitivity" ? options_.distribution : options_.method);
    spread_sparsity();
    for (const PrunableLayer& layer : layers_) check_mask_of(layer);
    Restorer restorer(module_, layers_);
    Progress progress("prune", static_cast<int64_t>(layers_.size()));
    for (size_t begin = 0; begin < layers_.size();) {
      const std::vector<size_t> together = next_together(begin);
      const CollectedInputs inputs = look_at(together);
      for (const size_t i : together) prune(layers_[i], inputs);
      begin += together.size();
      progress.update(static_cast<int64_t>(begin));
    }
    restorer.done();
    return std::move(report_);
  }

 private:
  void check_names(const std::vector<PrunableLayer>& layers) const {
    const std::vector<std::string> names = module_.names(Role::kWeight);
    for (const std::string& pattern : options_.keep_dense) {
      const bool found =
          std::ranges::any_of(names, [&](const std::string& name) { return glob_match(pattern, name); });
      MC_CHECK(found, "pruning: no parameter matches '{}'{}", pattern, did_you_mean(pattern, names));
    }
    std::vector<std::string> weights;
    for (const PrunableLayer& layer : layers) weights.push_back(layer.weight);
    for (const auto& [name, sparsity] : options_.by_weight) {
      MC_CHECK(std::ranges::find(weights, name) != weights.end(),
               "pruning: '{}' is not the weight of a layer that can be pruned{}", name,
               did_you_mean(name, weights));
    }
  }

  double sparsity_of(const std::string& weight) const {
    if (const auto* pattern = std::get_if<NToM>(&options_.structure)) {
      return 1 - static_cast<double>(pattern->n) / static_cast<double>(pattern->m);
    }
    const auto found = by_weight_.find(weight);
    return found == by_weight_.end() ? options_.sparsity : found->second;
  }

  // Why the layer stays dense; empty when it does not.
  std::string obstacle(const PrunableLayer& layer) const {
    for (const std::string& pattern : options_.keep_dense) {
      if (glob_match(pattern, layer.weight)) return "named in keep_dense";
    }
    try {
      check_structure(options_.structure, module_.tensor(layer.weight).sizes(), matrix_axes(layer.node));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  void add(PrunableLayer layer) {
    if (const std::string reason = obstacle(layer); !reason.empty()) {
      report_.left.push_back({layer.node.name, reason});
      return;
    }
    const at::Tensor weight = module_.tensor(layer.weight).detach();
    MC_CHECK(at::isfinite(weight.sum()).item<bool>(), "pruning: weight '{}' holds NaN or infinity",
             layer.weight);
    layers_.push_back(std::move(layer));
  }

  void check_mask_of(const PrunableLayer& layer) const {
    const at::Tensor mask = module_.mask(layer.weight);
    if (!mask.defined()) return;
    const auto count = static_cast<double>(mask.numel());
    const double now = 1 - mask.sum().item<double>() / count;
    const double asked = sparsity_of(layer.weight);
    MC_CHECK(now <= asked + 1 / count,
             "pruning: '{}' is pruned to {:.1f} % already, and {:.1f} % is asked for; remove its mask first, "
             "or keep it out (keep_dense)",
             layer.weight, 100 * now, 100 * asked);
  }

  // The sparsities of the layers that by_weight does not name, so that together they have the one asked for.
  void spread_sparsity() {
    if (options_.distribution == "uniform") return;
    std::vector<PruneTarget> targets;
    std::vector<std::vector<int64_t>> dims;
    for (const PrunableLayer& layer : layers_) {
      if (options_.by_weight.contains(layer.weight)) continue;
      const at::Tensor weight = module_.tensor(layer.weight);
      PruneTarget target{layer.weight, weight, matrix_axes(layer.node), nullptr, {}};
      target.settings.structure = options_.structure;
      target.settings.target = options_.sparsity;
      targets.push_back(std::move(target));
      dims.push_back(weight.sizes().vec());
    }
    if (targets.empty()) return;
    const std::vector<double> sparsities =
        options_.distribution == "erk"
            ? erdos_renyi(dims, options_.sparsity, /*kernel=*/true)
            : allocate_sparsity(sensitivity_curves(module_, targets, output_error(module_, samples_)),
                                options_.sparsity);
    for (size_t i = 0; i < targets.size(); ++i) by_weight_[targets[i].name] = sparsities[i];
  }

  // Layers that are pruned by one look: all, or those that read the value that the next one reads. They are
  // brought together from `begin` on.
  std::vector<size_t> next_together(size_t begin) {
    auto end = layers_.end();
    const auto first = layers_.begin() + static_cast<std::ptrdiff_t>(begin);
    if (options_.sequential && options_.method != "magnitude") {
      end = std::stable_partition(first, layers_.end(), [value = first->input.value](const PrunableLayer& l) {
        return l.input.value == value;
      });
    }
    std::vector<size_t> together;
    for (auto layer = first; layer != end; ++layer) together.push_back(begin + together.size());
    return together;
  }

  CollectedInputs look_at(const std::vector<size_t>& together) {
    if (options_.method == "magnitude") return {};
    std::map<std::string, InputView> views;
    for (const size_t i : together) views[layers_[i].weight] = layers_[i].input;
    const InputOptions looking{.hessians = options_.method == "sparsegpt", .bytes = options_.hessian_bytes};
    CollectedInputs inputs = collect_inputs(module_, views, samples_, looking);
    report_.samples = inputs.samples;
    return inputs;
  }

  void prune(const PrunableLayer& layer, const CollectedInputs& inputs) {
    const auto statistics = inputs.values.find(layer.weight);
    at::Tensor weight = module_.tensor(layer.weight).detach();
    const at::Tensor mask = module_.mask(layer.weight);
    const LayerTask task{layer.node,
                         weight.cpu(),
                         mask.defined() ? mask.cpu() : mask,
                         statistics == inputs.values.end() ? nullptr : &statistics->second,
                         sparsity_of(layer.weight),
                         options_.structure,
                         options_.damping,
                         options_.refit,
                         options_.correct_biases && !layer.bias.empty() && options_.method != "magnitude"};
    const PrunedLayer pruned =
        with_context([&] { return layer.node.label(); }, [&] { return prune_layer(options_.method, task); });
    weight.copy_(pruned.weight);
    module_.set_mask(layer.weight, pruned.keep.to(weight.device()));
    if (pruned.bias_change.defined()) {
      at::Tensor bias = module_.tensor(layer.bias).detach();
      bias.add_(pruned.bias_change.view(bias.sizes()).to(bias.device()));
    }
    report_.layers.push_back({layer.node.name, layer.weight,
                              weight.eq(0).sum().item<double>() / static_cast<double>(weight.numel()),
                              pruned.error});
  }

  GraphModule& module_;
  const Samples& samples_;
  const CalibratedOptions& options_;
  std::map<std::string, double> by_weight_;
  std::vector<PrunableLayer> layers_;
  CalibratedReport report_;
};

}  // namespace

const std::vector<std::string>& calibrated_methods() {
  static const std::vector<std::string> methods = {"magnitude", "wanda", "sparsegpt"};
  return methods;
}

CalibratedReport prune_layers(GraphModule& module, const Samples& samples, const CalibratedOptions& options) {
  return CalibratedPruner(module, samples, options).run();
}

CalibratedModel prune_with_data(const Model& model, std::shared_ptr<const Dataset> dataset,
                                const Normalization& normalization, const CalibratedOptions& options,
                                const ModuleOptions& module_options) {
  GraphModule module(model, module_options);
  Samples samples;
  if (dataset) {
    samples = calibration_samples(std::move(dataset), normalization, options.samples, model.graph,
                                  module_options.device);
  }
  CalibratedReport report = prune_layers(module, samples, options);
  return {module.graph(), std::move(report)};
}

}  // namespace mc
