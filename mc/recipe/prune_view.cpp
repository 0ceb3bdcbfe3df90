#include "mc/recipe/prune_view.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/deploy/model_files.h"
#include "mc/module/graph_module.h"
#include "mc/prune/calibrated.h"
#include "mc/prune/channel_target.h"
#include "mc/prune/importance.h"
#include "mc/prune/score.h"
#include "mc/report/zstd_size.h"

namespace mc {
namespace {

// Weights of layers by name, with their axes.
std::map<std::string, ParameterView> layer_weights(GraphModule& module) {
  std::map<std::string, ParameterView> weights;
  for (const ParameterView& view : parameter_views(module)) {
    const bool layer = view.kind == ParameterKind::kConv || view.kind == ParameterKind::kLinear ||
                       view.kind == ParameterKind::kEmbedding || view.kind == ParameterKind::kRecurrent;
    if (layer && view.tensor.dim() >= 2) weights.emplace(view.name, view);
  }
  return weights;
}

double zeros_of(const at::Tensor& tensor) {
  return tensor.detach().eq(0).sum().item<double>();
}

void check_target(const PruneFileTarget& target, bool channels) {
  const double value = target.value;
  switch (target.kind) {
    case PruneFileTarget::Kind::kSparsity:
      MC_CHECK(value >= 0 && value < 1, "the sparsity must be in [0, 1), is {}", value);
      break;
    case PruneFileTarget::Kind::kMacs:
    case PruneFileTarget::Kind::kParameters:
      MC_CHECK(value > 0 && value <= 1, "--{} is the part that stays, in (0, 1], not {}",
               name_of(target.kind), value);
      break;
    case PruneFileTarget::Kind::kSize:
      MC_CHECK(value > 0, "--size must be above 0, is {}", value);
      break;
    case PruneFileTarget::Kind::kSpeedup:
      MC_CHECK(value > 1, "--speedup is above 1 (2.0: twice as fast), not {}", value);
      break;
  }
  MC_CHECK(
      channels || target.kind == PruneFileTarget::Kind::kSparsity,
      "--{} is for methods that cut channels or blocks (channels_l1, blocks_output, ...): zeros alone leave "
      "{} as they are; give --sparsity",
      name_of(target.kind), target.kind == PruneFileTarget::Kind::kSpeedup ? "speed" : "shapes");
}

}  // namespace

std::string name_of(PruneFileTarget::Kind kind) {
  switch (kind) {
    case PruneFileTarget::Kind::kSparsity:
      return "sparsity";
    case PruneFileTarget::Kind::kMacs:
      return "macs";
    case PruneFileTarget::Kind::kParameters:
      return "params";
    case PruneFileTarget::Kind::kSize:
      return "size";
    case PruneFileTarget::Kind::kSpeedup:
      break;
  }
  return "speedup";
}

bool looks_at_inputs(const std::string& method) {
  return method == "wanda" || method == "sparsegpt";
}

std::vector<std::string> prune_file_methods() {
  std::vector<std::string> names = score_names();
  for (const std::string& method : calibrated_methods()) {
    if (std::ranges::count(names, method) == 0) names.push_back(method);
  }
  const std::vector<std::string> channels = importance_names();
  names.insert(names.end(), channels.begin(), channels.end());
  for (const std::string& method : block_method_names()) names.push_back(method);
  return names;
}

void check_prune_options(const PruneFileOptions& options) {
  const std::vector<std::string> methods = prune_file_methods();
  MC_CHECK(std::ranges::count(methods, options.method) > 0, "unknown method '{}'{}; known: {}",
           options.method, did_you_mean(options.method, methods), join(methods, ", "));
  const bool channels = is_channel_method(options.method), blocks = is_block_method(options.method);
  check_target(options.target, channels || blocks);
  if (!options.blocks.empty()) {
    find_block_importance(options.blocks);
    MC_CHECK(channels, "--blocks goes with methods that cut channels, not with {}", options.method);
    MC_CHECK(options.target.kind != PruneFileTarget::Kind::kSparsity,
             "--sparsity does not say how many blocks go; give --macs, --params, --size or --speedup");
  }
  parse_structure(options.structure);
  MC_CHECK(!(channels || blocks) || options.structure == "unstructured",
           "{} cuts {}; --structure is for masks", options.method, channels ? "channels" : "blocks");
  MC_CHECK(options.seconds >= 0 && options.batch >= 1 && options.latency_batch >= 1 && options.samples >= 0 &&
               options.limit >= 0,
           "negative numbers of samples or seconds");
}

bool global_structure(const Structure& structure) {
  return std::holds_alternative<Unstructured>(structure) || std::holds_alternative<Blocks>(structure);
}

PrunedSize size_of(const std::string& what, const Model& model, const std::filesystem::path& file) {
  PrunedSize size;
  size.what = what;
  size.bytes = model_file_bytes(file);
  size.compressed_bytes = zstd_size(file);
  size.parameters = model_parameters(model);
  size.macs = model_macs(model);
  GraphModule module(model);
  double zeros = 0, elements = 0;
  for (const auto& [name, view] : layer_weights(module)) {
    zeros += zeros_of(view.tensor);
    elements += static_cast<double>(view.tensor.numel());
  }
  size.sparsity = elements > 0 ? zeros / elements : 0;
  return size;
}

std::vector<WeightChange> weight_changes(const Model& before, const Model& after) {
  GraphModule old_module(before), new_module(after);
  const std::map<std::string, ParameterView> was = layer_weights(old_module);
  std::vector<WeightChange> changes;
  for (const auto& [name, view] : layer_weights(new_module)) {
    const auto found = was.find(name);
    if (found == was.end()) continue;
    const at::Tensor& old_tensor = found->second.tensor;
    const bool cut = old_tensor.sizes() != view.tensor.sizes();
    if (!cut && zeros_of(old_tensor) == zeros_of(view.tensor)) continue;
    const WeightAxes axes = weight_axes(view);
    changes.push_back({name, old_tensor.sizes().vec(), view.tensor.sizes().vec(),
                       zeros_of(view.tensor) / static_cast<double>(view.tensor.numel()),
                       pattern_name(find_pattern(view.tensor, axes.output, axes.input))});
  }
  return changes;
}

SparsityPattern common_pattern(const Model& model, const std::vector<WeightChange>& weights) {
  GraphModule module(model);
  const std::map<std::string, ParameterView> views = layer_weights(module);
  std::optional<SparsityPattern> common;
  for (const WeightChange& weight : weights) {
    const ParameterView& view = views.at(weight.name);
    const WeightAxes axes = weight_axes(view);
    const SparsityPattern pattern = find_pattern(view.tensor, axes.output, axes.input);
    if (pattern.kind == SparsityPattern::Kind::kDense) continue;
    if (!common) common = pattern;
    if (pattern_name(*common) == pattern_name(pattern)) continue;
    // Blocks that lie side by side look like larger ones.
    if (common->kind == pattern.kind && pattern.kind == SparsityPattern::Kind::kBlock) {
      common->n = std::min(common->n, pattern.n);
      common->m = std::min(common->m, pattern.m);
      continue;
    }
    common->kind = SparsityPattern::Kind::kUnstructured;
    return *common;
  }
  return common.value_or(SparsityPattern());
}

double largest_difference(const Model& model, const Model& other, const ModelData& data) {
  const at::NoGradGuard no_grad;
  GraphModule one(model), two(other);
  one.eval();
  two.eval();
  double difference = 0, largest = 0;
  const auto loader = make_loader(data, 2);
  loader->start(0);
  while (const auto batch = loader->next()) {
    const std::vector<at::Tensor> expected = one.forward(batch->inputs), got = two.forward(batch->inputs);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (expected[i].numel() == 0 || !expected[i].is_floating_point()) continue;
      const at::Tensor &a = expected[i], &b = got[i];
      const at::Tensor same = (a == b).logical_or_(a.isnan().logical_and_(b.isnan()));
      const double apart = (a - b).abs().masked_fill_(same, 0).max().item<double>();
      if (!std::isfinite(apart)) return std::numeric_limits<double>::infinity();
      difference = std::max(difference, apart);
      largest = std::max(largest, a.abs().masked_fill_(a.isfinite().logical_not_(), 0).max().item<double>());
    }
  }
  return largest > 0 ? difference / largest : difference;
}

}  // namespace mc
