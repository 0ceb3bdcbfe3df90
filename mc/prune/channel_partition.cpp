#include "mc/prune/channel_partition.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

namespace mc {
namespace {

struct ConstantAxis {
  const ChannelValue* value;
  int64_t k;
  AxisId axis;
};

// The axes of constants that are one axis class.
struct RootAxis {
  AxisId root;
  std::vector<ConstantAxis> constants;  // in the order of their first use
};

std::vector<RootAxis> root_axes(const ChannelGraph& graph) {
  std::vector<ConstantAxis> axes;
  for (const ChannelValue& value : graph.values()) {
    if (!value.constant || value.rank() == 0 || graph.first_use(value.first) < 0) continue;
    for (int64_t k = 0; k < value.rank(); ++k)
      axes.push_back({&value, k, value.first + static_cast<AxisId>(k)});
  }
  std::ranges::sort(axes, {}, [&](const ConstantAxis& a) { return std::pair(graph.first_use(a.axis), a.k); });
  std::vector<RootAxis> roots;
  std::unordered_map<AxisId, size_t> known;
  for (const ConstantAxis& axis : axes) {
    const AxisId root = graph.classes().root(axis.axis);
    const auto [entry, is_new] = known.try_emplace(root, roots.size());
    if (is_new) roots.push_back({root, {}});
    roots[entry->second].constants.push_back(axis);
  }
  return roots;
}

// Of each class of elements that can go, where its indices lie: one row of `places` after another.
struct Channels {
  struct Place {
    int32_t root;  // number of the RootAxis
    int32_t index;
  };
  std::vector<int32_t> elements;
  std::vector<size_t> begin;  // one more than channels
  std::vector<Place> places;
};

Channels channels_of(const ChannelGraph& graph, const std::vector<RootAxis>& roots) {
  const AxisClasses& classes = graph.classes();
  Channels channels;
  std::vector<int32_t> number(classes.element_count(), -1);
  std::vector<size_t> counts;
  const auto each = [&](auto&& visit) {
    for (size_t r = 0; r < roots.size(); ++r) {
      if (classes.wholly_fixed(roots[r].root)) continue;
      const int64_t size = classes.size(roots[r].root);
      for (int64_t i = 0; i < size; ++i) {
        if (classes.is_fixed(roots[r].root, i)) continue;
        visit(static_cast<int32_t>(r), static_cast<int32_t>(i), classes.element(roots[r].root, i));
      }
    }
  };
  each([&](int32_t, int32_t, int32_t element) {
    if (number[element] < 0) {
      number[element] = static_cast<int32_t>(counts.size());
      counts.push_back(0);
      channels.elements.push_back(element);
    }
    ++counts[number[element]];
  });
  channels.begin.assign(counts.size() + 1, 0);
  for (size_t c = 0; c < counts.size(); ++c) channels.begin[c + 1] = channels.begin[c] + counts[c];
  channels.places.resize(channels.begin.back());
  std::vector<size_t> next(channels.begin.begin(), channels.begin.end() - 1);
  each([&](int32_t root, int32_t index, int32_t element) {
    channels.places[next[number[element]]++] = {root, index};
  });
  return channels;
}

// The axes of a channel with how many indices each, in a form that can be compared.
std::vector<std::pair<int32_t, int32_t>> pattern_of(const Channels& channels, size_t c) {
  std::vector<std::pair<int32_t, int32_t>> pattern;
  for (size_t i = channels.begin[c]; i < channels.begin[c + 1]; ++i) {
    const int32_t root = channels.places[i].root;
    if (pattern.empty() || pattern.back().first != root) pattern.emplace_back(root, 0);
    ++pattern.back().second;
  }
  return pattern;
}

struct PatternHash {
  size_t operator()(const std::vector<std::pair<int32_t, int32_t>>& pattern) const {
    size_t hash = pattern.size();
    for (const auto& [root, run] : pattern) {
      hash = hash * 1000003 + static_cast<size_t>(root);
      hash = hash * 1000003 + static_cast<size_t>(run);
    }
    return hash;
  }
};

// Adds the initializers of a part as members, and the name, if there is none, of the first that makes
// channels.
void add_members(const ChannelGraph& graph, const RootAxis& root, const ChannelPart& part,
                 ChannelGroup& group) {
  for (const ConstantAxis& axis : root.constants) {
    if (!axis.value->initializer) continue;
    const uint8_t uses = graph.uses(axis.axis);
    ChannelMember member{axis.value->name,       axis.k, {}, (uses & kProduces) != 0, (uses & kConsumes) != 0,
                         (uses & kMaskable) != 0};
    member.positions.reserve(static_cast<size_t>(group.channels));
    for (int64_t c = 0; c < group.channels; ++c) {
      const auto first = part.indices.begin() + c * part.run;
      member.positions.emplace_back(first, first + part.run);
    }
    group.members.push_back(std::move(member));
  }
}

// Members in the order of the nodes, which are the producers, the name.
void finish_group(const ChannelGraph& graph, ChannelGroup& group) {
  std::ranges::stable_sort(group.members, {}, [&](const ChannelMember& member) {
    const ChannelValue* value = graph.value(member.initializer);
    return std::pair(graph.first_use(value->first), member.axis);
  });
  for (size_t i = 0; i < group.members.size(); ++i) {
    if (group.members[i].produces) group.producers.push_back(i);
  }
  if (!group.producers.empty()) group.name = group.members[group.producers[0]].initializer;
}

std::vector<PartitionGroup> free_groups(const ChannelGraph& graph, const std::vector<RootAxis>& roots) {
  const Channels channels = channels_of(graph, roots);
  std::unordered_map<std::vector<std::pair<int32_t, int32_t>>, size_t, PatternHash> known;
  std::vector<PartitionGroup> groups;
  std::vector<std::vector<int32_t>> part_roots;
  for (size_t c = 0; c < channels.elements.size(); ++c) {
    auto pattern = pattern_of(channels, c);
    const auto [entry, is_new] = known.try_emplace(std::move(pattern), groups.size());
    if (is_new) {
      PartitionGroup& group = groups.emplace_back();
      part_roots.emplace_back();
      for (const auto& [root, run] : entry->first) {
        group.parts.push_back({roots[root].root, run, {}});
        part_roots.back().push_back(root);
      }
    }
    PartitionGroup& group = groups[entry->second];
    group.elements.push_back(channels.elements[c]);
    size_t at = channels.begin[c];
    for (ChannelPart& part : group.parts) {
      for (int64_t i = 0; i < part.run; ++i) part.indices.push_back(channels.places[at++].index);
    }
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    ChannelGroup& shown = groups[g].shown;
    shown.channels = static_cast<int64_t>(groups[g].elements.size());
    const bool made = std::ranges::any_of(part_roots[g], [&](int32_t root) {
      return std::ranges::any_of(roots[root].constants, [&](const ConstantAxis& axis) {
        return axis.value->initializer && (graph.uses(axis.axis) & kProduces);
      });
    });
    if (!made) continue;
    for (size_t p = 0; p < groups[g].parts.size(); ++p)
      add_members(graph, roots[part_roots[g][p]], groups[g].parts[p], shown);
    finish_group(graph, shown);
    if (shown.channels == 1) {
      shown.obstacle = "all its rows are coupled into one channel, and one has to stay";
      groups[g].elements.clear();
      continue;
    }
    for (const int32_t element : groups[g].elements) {
      const int32_t note = graph.classes().inexact_note(element);
      if (note < 0) continue;
      shown.exact = false;
      shown.inexact = graph.describe_inexact(note);
      break;
    }
  }
  std::erase_if(groups, [](const PartitionGroup& group) { return group.shown.producers.empty(); });
  return groups;
}

// For each axis class with channels that some layer makes and that cannot go, a group that says why.
std::vector<PartitionGroup> fixed_groups(const ChannelGraph& graph, const std::vector<RootAxis>& roots) {
  std::vector<PartitionGroup> groups;
  const AxisClasses& classes = graph.classes();
  for (const RootAxis& root : roots) {
    const int64_t size = classes.size(root.root);
    const bool made = std::ranges::any_of(root.constants, [&](const ConstantAxis& axis) {
      return axis.value->initializer && (graph.uses(axis.axis) & kProduces);
    });
    if (!made || size < 1 || size > AxisClasses::kLongest) continue;
    ChannelPart part{root.root, 1, {}};
    for (int64_t i = 0; i < size; ++i) {
      if (classes.is_fixed(root.root, i)) part.indices.push_back(i);
    }
    if (part.indices.empty()) continue;
    PartitionGroup& group = groups.emplace_back();
    group.shown.channels = static_cast<int64_t>(part.indices.size());
    add_members(graph, root, part, group.shown);
    finish_group(graph, group.shown);
    group.shown.obstacle = graph.describe(classes.reason(root.root, part.indices[0]));
    group.parts.push_back(std::move(part));
  }
  return groups;
}

}  // namespace

std::vector<PartitionGroup> partition_channels(const ChannelGraph& graph) {
  const std::vector<RootAxis> roots = root_axes(graph);
  std::vector<PartitionGroup> groups = free_groups(graph, roots);
  const auto order = [&](const PartitionGroup& group) {
    const ChannelMember& first = group.shown.members[group.shown.producers[0]];
    return std::pair(graph.first_use(graph.value(first.initializer)->first), first.positions[0]);
  };
  std::ranges::stable_sort(groups, {}, order);
  std::ranges::stable_partition(groups,
                                [](const PartitionGroup& group) { return group.shown.obstacle.empty(); });
  for (PartitionGroup& group : fixed_groups(graph, roots)) groups.push_back(std::move(group));
  std::unordered_map<std::string, int> seen;
  for (PartitionGroup& group : groups) {
    const int number = ++seen[group.shown.name];
    if (number > 1) group.shown.name += fmt::format("#{}", number);
  }
  return groups;
}

std::vector<ChannelGroup> channel_groups(const Model& model) {
  const Model prepared = ChannelGraph::prepare(model);
  const ChannelGraph graph(prepared);
  std::vector<ChannelGroup> groups;
  for (PartitionGroup& group : partition_channels(graph)) groups.push_back(std::move(group.shown));
  return groups;
}

}  // namespace mc
