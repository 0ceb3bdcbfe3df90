#include "mc/quantize/keep_float.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {

bool kept_float(const Node& node, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return glob_match(pattern, node.name); });
}

void check_keep_float(const Graph& graph, const std::vector<std::string>& patterns) {
  std::vector<std::string> names;
  for_each_graph(graph, [&](const Graph& part) {
    for (const Node& node : part.nodes) names.push_back(node.name);
  });
  for (const std::string& pattern : patterns) {
    const bool found =
        std::ranges::any_of(names, [&](const std::string& name) { return glob_match(pattern, name); });
    MC_CHECK(found, "keep_float: no node matches '{}'{}", pattern, did_you_mean(pattern, names));
  }
}

}  // namespace mc
