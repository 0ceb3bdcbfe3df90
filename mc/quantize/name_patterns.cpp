#include "mc/quantize/name_patterns.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {

bool matches(const Node& node, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return glob_match(pattern, node.name); });
}

std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names;
  for_each_graph(graph, [&](const Graph& part) {
    for (const Node& node : part.nodes) names.push_back(node.name);
  });
  return names;
}

void check_patterns(const std::string& key, const std::vector<std::string>& patterns,
                    const std::vector<std::string>& names) {
  for (const std::string& pattern : patterns) {
    const bool found =
        std::ranges::any_of(names, [&](const std::string& name) { return glob_match(pattern, name); });
    MC_CHECK(found, "{}: no node matches '{}'{}", key, pattern, did_you_mean(pattern, names));
  }
}

}  // namespace mc
