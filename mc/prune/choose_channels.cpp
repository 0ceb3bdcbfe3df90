#include "mc/prune/choose_channels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

// Initializers and nodes by what a person may write: a node's pattern stands for the initializers it reads.
class NamePatterns {
 public:
  explicit NamePatterns(const Graph& graph) : graph_(graph) {}

  // The initializers meant; Error where there are none.
  std::set<std::string> resolve(const std::string& pattern) const {
    std::set<std::string> found;
    std::vector<std::string> names;
    bool matched = false;
    for (const Initializer& initializer : graph_.initializers()) {
      names.push_back(initializer.name);
      if (glob_match(pattern, initializer.name)) found.insert(initializer.name);
    }
    for (const Node& node : graph_.nodes) {
      if (!node.name.empty()) names.push_back(node.name);
      if (!glob_match(pattern, node.name) && pattern != "type:" + node.op_type) continue;
      matched = true;
      for (const std::string& input : node.inputs) {
        if (graph_.initializer(input)) found.insert(input);
      }
    }
    MC_CHECK(matched || !found.empty(), "no node and no parameter matches '{}'{}", pattern,
             did_you_mean(pattern, names));
    return found;
  }

 private:
  const Graph& graph_;
};

// Whether the group's channels are made by one of them: a limit on a layer is one on what it gives.
bool produced_by(const ChannelGroup& group, const std::set<std::string>& names) {
  return std::ranges::any_of(
      group.members, [&](const ChannelMember& m) { return m.produces && names.contains(m.initializer); });
}

// Elements of the width that one channel stands for: a head's columns.
int64_t width_of_channel(const ChannelGroup& group) {
  size_t width = SIZE_MAX;
  for (const ChannelMember& member : group.members) {
    if (!member.positions.empty()) width = std::min(width, member.positions[0].size());
  }
  return width == SIZE_MAX ? 1 : static_cast<int64_t>(width);
}

GroupBound bound_of(const ChannelGroup& group, double max_part, const ChoiceOptions& options) {
  GroupBound bound;
  const int64_t width = width_of_channel(group);
  bound.step = options.round_to / std::gcd(options.round_to, width);
  const auto known = options.original.find(group.name);
  const int64_t original = known == options.original.end() ? group.channels : known->second;
  const auto allowed = static_cast<int64_t>(std::floor(max_part * static_cast<double>(original) + 1e-9));
  int64_t least = std::max({original - allowed, options.min_channels, int64_t{1}});
  least = (least + bound.step - 1) / bound.step * bound.step;
  bound.removable = std::max<int64_t>(0, group.channels - least);
  if (bound.removable == 0) {
    bound.reason =
        bound.step > 1 && group.channels <= bound.step
            ? fmt::format("its {} channels are no more than one multiple of {}", group.channels, bound.step)
            : fmt::format("the smallest width allowed is its own, {} channels", group.channels);
  }
  return bound;
}

// What goes of a group that should lose `wanted`: the nearest number that leaves a width allowed.
int64_t rounded_loss(int64_t channels, const GroupBound& bound, int64_t wanted) {
  wanted = std::clamp<int64_t>(wanted, 0, bound.removable);
  if (bound.step == 1 || wanted == 0) return wanted;
  const int64_t below = (channels - wanted) / bound.step * bound.step, above = below + bound.step;
  const int64_t least = channels - bound.removable;
  const int64_t more = channels - std::max(below, least), less = std::max<int64_t>(0, channels - above);
  return more - wanted <= wanted - less ? more : less;
}

std::vector<int64_t> worst_first(const std::vector<float>& scores) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    return scores[a] < scores[b] || (scores[a] == scores[b] && a > b);
  });
  return order;
}

// How many channels each group loses when the `count` lowest of all go.
std::vector<int64_t> ranked_losses(const std::vector<GroupBound>& bounds,
                                   const std::vector<std::vector<float>>& scores, int64_t count) {
  struct Candidate {
    float score;
    size_t group;
  };
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < bounds.size(); ++i) {
    if (bounds[i].removable == 0) continue;
    const std::vector<int64_t> order = worst_first(scores[i]);
    for (int64_t j = 0; j < bounds[i].removable; ++j) candidates.push_back({scores[i][order[j]], i});
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::score);
  std::vector<int64_t> losses(bounds.size());
  for (int64_t i = 0; i < std::min<int64_t>(count, static_cast<int64_t>(candidates.size())); ++i)
    ++losses[candidates[i].group];
  return losses;
}

std::vector<int64_t> even_losses(const std::vector<GroupBound>& bounds, int64_t count) {
  const double part =
      static_cast<double>(count) / static_cast<double>(std::max<int64_t>(1, removable_channels(bounds)));
  std::vector<int64_t> losses;
  for (const GroupBound& bound : bounds)
    losses.push_back(std::llround(part * static_cast<double>(bound.removable)));
  return losses;
}

}  // namespace

std::vector<GroupBound> channel_bounds(const Model& model, const std::vector<ChannelGroup>& groups,
                                       const ChoiceOptions& options) {
  MC_CHECK(options.round_to >= 1, "widths cannot be rounded to multiples of {}", options.round_to);
  MC_CHECK(options.min_channels >= 1, "at least one channel must stay, not {}", options.min_channels);
  MC_CHECK(options.max_part > 0 && options.max_part <= 1,
           "the part of a layer's channels that may go is in "
           "(0, 1], not {}",
           options.max_part);
  const NamePatterns patterns(model.graph);
  std::vector<std::set<std::string>> ignored;
  for (const std::string& pattern : options.ignore) ignored.push_back(patterns.resolve(pattern));
  std::vector<std::pair<std::set<std::string>, double>> limits;
  for (const auto& [pattern, part] : options.limits) {
    MC_CHECK(part >= 0 && part <= 1, "the limit of '{}' is a part of its channels, 0 to 1, not {}", pattern,
             part);
    limits.emplace_back(patterns.resolve(pattern), part);
  }
  std::vector<GroupBound> bounds;
  for (const ChannelGroup& group : groups) {
    double max_part = options.max_part;
    for (const auto& [names, part] : limits) {
      if (produced_by(group, names)) max_part = std::min(max_part, part);
    }
    GroupBound bound;
    if (group.obstacle.empty()) bound = bound_of(group, max_part, options);
    bound.reason = group.obstacle.empty() ? bound.reason : group.obstacle;
    for (size_t i = 0; i < ignored.size(); ++i) {
      if (!group.obstacle.empty() || !produced_by(group, ignored[i])) continue;
      bound.removable = 0;
      bound.reason = fmt::format("'{}' is left alone", options.ignore[i]);
    }
    bounds.push_back(bound);
  }
  return bounds;
}

int64_t removable_channels(const std::vector<GroupBound>& bounds) {
  int64_t sum = 0;
  for (const GroupBound& bound : bounds) sum += bound.removable;
  return sum;
}

std::vector<ChannelCut> choose_channels(const std::vector<ChannelGroup>& groups,
                                        const std::vector<GroupBound>& bounds,
                                        const std::vector<std::vector<float>>& scores, int64_t count,
                                        bool global) {
  const std::vector<int64_t> losses =
      global ? ranked_losses(bounds, scores, count) : even_losses(bounds, count);
  std::vector<ChannelCut> cuts;
  for (size_t i = 0; i < groups.size(); ++i) {
    const int64_t loss = rounded_loss(groups[i].channels, bounds[i], losses[i]);
    if (loss == 0) continue;
    std::vector<int64_t> order = worst_first(scores[i]);
    order.resize(static_cast<size_t>(loss));
    std::ranges::sort(order);
    cuts.push_back({groups[i].name, std::move(order)});
  }
  return cuts;
}

}  // namespace mc
