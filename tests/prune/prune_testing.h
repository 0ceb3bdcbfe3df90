// Small graphs with random weights, and what a cut of them must satisfy.
#pragma once

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "mc/prune/cut.h"

namespace mc::testing {

using Dims = std::vector<int64_t>;

// The graph in text form with an initializer of numbers in [0.1, 1.1) or their negatives for each name.
inline Model random_model(const std::string& text, const std::vector<std::pair<std::string, Dims>>& weights) {
  Model model = parse_model(text);
  at::manual_seed(3);
  for (const auto& [name, dims] : weights) {
    // Variances and scales must be positive.
    const bool positive = name.ends_with("var") || name.ends_with("scale");
    const at::Tensor sign = positive ? at::ones(dims) : at::where(at::rand(dims) < 0.5, -1.0F, 1.0F);
    model.graph.set_initializer(name, to_constant((at::rand(dims) + 0.1) * sign));
  }
  return model;
}

inline const ChannelGroup* find_group(const std::vector<ChannelGroup>& groups, const std::string& name) {
  for (const ChannelGroup& group : groups) {
    if (group.name == name) return &group;
  }
  return nullptr;
}

// "weight:axis*positions" of every member, in order.
inline std::vector<std::string> members_of(const ChannelGroup& group) {
  std::vector<std::string> members;
  for (const ChannelMember& member : group.members) {
    members.push_back(
        fmt::format("{}:{}*{}", member.initializer, member.axis, member.positions.at(0).size()));
  }
  return members;
}

inline std::vector<at::Tensor> run_model(const Model& model, const std::vector<at::Tensor>& inputs) {
  GraphModule module(model);
  module.eval();
  const at::NoGradGuard no_grad;
  return module.forward(inputs);
}

inline std::vector<ChannelCut> random_cuts(const std::vector<ChannelGroup>& groups, std::mt19937& random) {
  std::vector<ChannelCut> cuts;
  for (const ChannelGroup& group : groups) {
    if (!group.obstacle.empty() || group.channels < 2 || random() % 3 == 0) continue;
    std::vector<int64_t> channels(static_cast<size_t>(group.channels));
    for (size_t i = 0; i < channels.size(); ++i) channels[i] = static_cast<int64_t>(i);
    std::shuffle(channels.begin(), channels.end(), random);
    channels.resize(1 + random() % (channels.size() - 1));
    cuts.push_back({group.name, channels});
  }
  return cuts;
}

inline int64_t float_count(const Model& model) {
  int64_t count = 0;
  for (const Initializer& initializer : model.graph.initializers()) {
    if (dtype_is_float(initializer.tensor.dtype)) count += initializer.tensor.count();
  }
  return count;
}

// Cuts at random: the cut model runs, has fewer elements, and equals the masked one where the groups are
// exact.
inline void expect_consistent(const Model& model, const std::vector<at::Tensor>& inputs, int count = 20) {
  const std::vector<ChannelGroup> groups = channel_groups(model);
  std::mt19937 random(5);
  const std::vector<at::Tensor> whole = run_model(model, inputs);
  for (int i = 0; i < count; ++i) {
    const std::vector<ChannelCut> cuts = random_cuts(groups, random);
    if (cuts.empty()) continue;
    const Model cut = cut_channels(model, cuts);
    verify(cut);
    const std::vector<at::Tensor> outputs = run_model(cut, inputs);
    ASSERT_EQ(outputs.size(), whole.size());
    EXPECT_LT(float_count(cut), float_count(model));
    bool exact = true;
    for (const ChannelCut& one : cuts) exact = exact && find_group(groups, one.group)->exact;
    const std::vector<at::Tensor> masked = run_model(mask_channels(model, cuts), inputs);
    for (size_t k = 0; k < outputs.size(); ++k) {
      ASSERT_EQ(outputs[k].sizes(), whole[k].sizes());
      EXPECT_TRUE(at::isfinite(outputs[k]).all().item<bool>());
      if (!exact) continue;
      const double scale = std::max(1.0, masked[k].abs().max().item<double>());
      EXPECT_LE((outputs[k] - masked[k]).abs().max().item<double>(), 1e-5 * scale) << "cut " << i;
    }
  }
}

}  // namespace mc::testing
