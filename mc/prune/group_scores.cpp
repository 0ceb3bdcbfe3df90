#include "mc/prune/group_scores.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mc/base/error.h"

namespace mc {
namespace {

bool is_matrix(const Graph& graph, const ChannelMember& member) {
  const Initializer* found = graph.initializer(member.initializer);
  return found && found->tensor.dims.size() >= 2;
}

// Whose scores count for the group: weights before vectors, which only a group without weights is judged by.
std::vector<const ChannelMember*> counted(const Importance& importance, const Graph& graph,
                                          const std::set<std::string>& scales, const ChannelGroup& group) {
  std::vector<const ChannelMember*> norms, weights, others;
  for (const ChannelMember& member : group.members) {
    if (scales.contains(member.initializer)) norms.push_back(&member);
  }
  for (const size_t index : group.producers) {
    const ChannelMember& member = group.members.at(index);
    (is_matrix(graph, member) ? weights : others).push_back(&member);
  }
  if (importance.of_norms && !norms.empty()) return norms;
  if (!weights.empty()) return weights;
  if (!others.empty()) return others;
  for (const ChannelMember& member : group.members) {
    if (member.maskable) others.push_back(&member);
  }
  return others;
}

// By channel: the sum over the indices that it owns.
at::Tensor by_channel(const ChannelMember& member, const at::Tensor& by_index) {
  std::vector<int64_t> indices;
  for (const std::vector<int64_t>& positions : member.positions) {
    indices.insert(indices.end(), positions.begin(), positions.end());
  }
  const auto channels = static_cast<int64_t>(member.positions.size());
  return by_index.index_select(0, at::tensor(indices, at::kLong)).view({channels, -1}).sum(1);
}

}  // namespace

std::set<std::string> norm_scales(const Graph& graph) {
  std::set<std::string> names;
  for (const Node& node : graph.nodes) {
    const bool normalizes = node.is("BatchNormalization") || node.is("InstanceNormalization") ||
                            node.is("GroupNormalization") || node.is("LayerNormalization");
    if (normalizes && graph.initializer(node.input(1))) names.insert(node.input(1));
  }
  return names;
}

GroupScorer::GroupScorer(const Importance& importance, const Model& model, std::vector<ChannelGroup> groups,
                         uint64_t seed)
    : importance_(&importance), groups_(std::move(groups)), seed_(seed) {
  const std::set<std::string> scales = norm_scales(model.graph);
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (!groups_[i].obstacle.empty()) continue;
    for (const ChannelMember* member : counted(importance, model.graph, scales, groups_[i]))
      parts_.push_back({i, member, {}});
  }
}

at::Tensor GroupScorer::index_scores(const Part& part, const at::Tensor& value,
                                     const at::Tensor& gradient) const {
  const std::string& name = part.member->initializer;
  return channel_scores(*importance_, {value, part.member->axis, gradient, name, seed_}).to(at::kCPU);
}

void GroupScorer::observe(const ParameterLookup& parameter) {
  MC_CHECK(importance_->needs_gradients, "{} looks at no gradients", importance_->name);
  for (Part& part : parts_) {
    const at::Tensor value = parameter(part.member->initializer);
    const at::Tensor& gradient = value.grad();
    if (!part.sum.defined()) part.sum = at::zeros({value.size(part.member->axis)});
    if (gradient.defined()) part.sum.add_(index_scores(part, value, gradient));
  }
  ++batches_;
}

std::map<std::string, at::Tensor> GroupScorer::save() const {
  std::map<std::string, at::Tensor> state;
  if (batches_ == 0) return state;
  state["batches"] = at::scalar_tensor(batches_, at::kLong);
  for (size_t i = 0; i < parts_.size(); ++i) state[fmt::format("sum.{}", i)] = parts_[i].sum;
  return state;
}

void GroupScorer::load(const std::map<std::string, at::Tensor>& state) {
  const auto batches = state.find("batches");
  batches_ = batches == state.end() ? 0 : batches->second.item<int64_t>();
  for (size_t i = 0; i < parts_.size() && batches_ > 0; ++i) {
    const auto sum = state.find(fmt::format("sum.{}", i));
    const bool fits = sum != state.end() && sum->second.dim() == 1;
    MC_CHECK(fits, "the scores of channels that were observed are those of another network");
    parts_[i].sum = sum->second.clone();
  }
}

std::vector<std::vector<float>> GroupScorer::scores(const ParameterLookup& parameter) const {
  MC_CHECK(!importance_->needs_gradients || batches_ > 0, "{} needs the gradients of at least one batch",
           importance_->name);
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> sums(groups_.size());
  std::vector<int64_t> counts(groups_.size());
  for (const Part& part : parts_) {
    at::Tensor scores = importance_->needs_gradients
                            ? part.sum / static_cast<double>(batches_)
                            : index_scores(part, parameter(part.member->initializer), {});
    scores = by_channel(*part.member, scores);
    const double mean = scores.mean().item<double>();
    if (!importance_->comparable && mean > 0) scores = scores / mean;
    at::Tensor& sum = sums[part.group];
    sum = sum.defined() ? sum + scores : scores;
    ++counts[part.group];
  }
  std::vector<std::vector<float>> result(groups_.size());
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (!sums[i].defined()) continue;
    const at::Tensor mean = (sums[i] / static_cast<double>(counts[i])).contiguous();
    result[i].assign(mean.data_ptr<float>(), mean.data_ptr<float>() + mean.numel());
  }
  return result;
}

}  // namespace mc
