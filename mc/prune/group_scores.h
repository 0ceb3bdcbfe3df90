// One number for each channel of a group, of the scores that its members have (importance.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/prune/channel_groups.h"
#include "mc/prune/importance.h"

namespace mc {

// The value of a parameter by its initializer's name; its .grad() is that of the last batch, where there is
// one.
using ParameterLookup = std::function<at::Tensor(const std::string&)>;

// A member's scores are those of its indices, summed over the indices that a channel owns (the gates of a
// recurrent layer, the columns of a head), divided by their mean over the channels unless the kind is
// comparable as it is, so that layers of different scale compare. A group's scores are the means over the
// members that count: its producing weights, or with channels_bn_scale the scales of its normalizations.
// (Mean over members after normalization: Fang et al. 2023, section 3.3, of producers alone.)
class GroupScorer {
 public:
  // Groups with an obstacle are left out of everything; their scores are empty. `model` is the one that the
  // groups are of.
  GroupScorer(const Importance& importance, const Model& model, std::vector<ChannelGroup> groups,
              uint64_t seed = 0);

  GroupScorer(const GroupScorer&) = delete;  // parts point into the groups
  GroupScorer& operator=(const GroupScorer&) = delete;

  const Importance& importance() const { return *importance_; }
  const std::vector<ChannelGroup>& groups() const { return groups_; }

  // Adds what the gradients of one batch say; only for kinds that need them. Parameters without a gradient
  // count as not moved by the loss.
  void observe(const ParameterLookup& parameter);
  int64_t observed() const { return batches_; }
  // What was observed, for checkpoints.
  std::map<std::string, at::Tensor> save() const;
  void load(const std::map<std::string, at::Tensor>& state);  // Error where it is that of other groups

  // By group, by channel. Throws Error as channel_scores does, and where gradients are needed and no batch
  // was observed.
  std::vector<std::vector<float>> scores(const ParameterLookup& parameter) const;

 private:
  struct Part {
    size_t group;
    const ChannelMember* member;
    at::Tensor sum;  // over batches, by index of the axis
  };
  at::Tensor index_scores(const Part& part, const at::Tensor& value, const at::Tensor& gradient) const;

  const Importance* importance_;
  std::vector<ChannelGroup> groups_;
  std::vector<Part> parts_;
  uint64_t seed_;
  int64_t batches_ = 0;
};

// Initializers that scale a normalization channel by channel.
std::set<std::string> norm_scales(const Graph& graph);

}  // namespace mc
