#include "mc/recipe/inspect_groups.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "mc/module/state.h"
#include "mc/prune/channel_groups.h"
#include "mc/prune/residual_blocks.h"

namespace mc {
namespace {

// MACs of one run by the initializers that nodes read.
std::map<std::string, double> macs_by_initializer(const Model& model, const std::vector<NodeCost>& costs) {
  std::map<std::string, double> macs;
  for (size_t i = 0; i < std::min(costs.size(), model.graph.nodes.size()); ++i) {
    if (costs[i].macs <= 0) continue;
    for (const std::string& input : model.graph.nodes[i].inputs) {
      const Initializer* found = model.graph.initializer(input);
      if (found && found->tensor.dims.size() >= 2) macs[input] += costs[i].macs;
    }
  }
  return macs;
}

InspectedGroup inspect_group(const Model& model, const ChannelGroup& group,
                             const std::map<std::string, double>& macs, const Roles& roles) {
  InspectedGroup result;
  result.name = group.name;
  result.channels = group.channels;
  result.inexact = group.inexact;
  result.obstacle = group.obstacle;
  std::map<std::string, double> stays;  // part of each initializer without one channel
  for (const ChannelMember& member : group.members) {
    const Initializer* found = model.graph.initializer(member.initializer);
    if (!found || member.positions.empty()) continue;
    const auto size = static_cast<double>(found->tensor.dims.at(static_cast<size_t>(member.axis)));
    const double part = 1 - static_cast<double>(member.positions[0].size()) / size;
    if (!stays.contains(member.initializer)) result.parameters.push_back(member.initializer);
    const auto [at, added] = stays.emplace(member.initializer, part);
    if (!added) at->second *= part;
  }
  for (const auto& [name, part] : stays) {
    const auto role = roles.of.find(name);
    const bool trains = role != roles.of.end() && role->second == Role::kWeight;
    if (trains) {
      const Tensor& tensor = model.graph.initializer(name)->tensor;
      result.parameters_saved += std::round((1 - part) * static_cast<double>(tensor.count()));
    }
    const auto cost = macs.find(name);
    if (cost != macs.end()) result.macs_saved += std::round((1 - part) * cost->second);
  }
  return result;
}

}  // namespace

std::vector<InspectedGroup> inspect_groups(const Model& model, const std::vector<NodeCost>& costs) {
  const std::map<std::string, double> macs = macs_by_initializer(model, costs);
  Model roles_model = model;  // copies that exporters share become tensors of their own in it
  const Roles roles = assign_roles(roles_model);
  std::vector<InspectedGroup> groups;
  for (const ChannelGroup& group : channel_groups(model)) {
    groups.push_back(inspect_group(model, group, macs, roles));
  }
  return groups;
}

std::vector<InspectedBlock> inspect_blocks(const Model& model, const std::vector<NodeCost>& costs) {
  std::map<std::string, NodeCost> by_label;
  for (size_t i = 0; i < std::min(costs.size(), model.graph.nodes.size()); ++i)
    by_label[model.graph.nodes[i].label()] = costs[i];
  std::vector<InspectedBlock> blocks;
  for (const ResidualBlock& block : residual_blocks(model)) {
    InspectedBlock result{block.name, {}, static_cast<double>(block.parameters), 0};
    for (const std::string& label : block.nodes) {
      const NodeCost& cost = by_label[label];
      result.nodes.push_back(cost.node);
      result.macs_saved += cost.macs;
    }
    blocks.push_back(std::move(result));
  }
  return blocks;
}

}  // namespace mc
