#include "mc/quantize/keep_float.h"

#include <algorithm>
#include <string_view>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

constexpr std::string_view kType = "type:";

bool fits(const Node& node, std::string_view pattern) {
  if (pattern.starts_with(kType)) return glob_match(pattern.substr(kType.size()), node.op_type);
  return glob_match(pattern, node.name);
}

}  // namespace

bool fits_any(const Node& node, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return fits(node, pattern); });
}

void check_patterns(const Graph& graph, const std::string& key, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    const bool typed = pattern.starts_with(kType);
    bool found = false;
    std::vector<std::string> known;
    for_each_graph(graph, [&](const Graph& part) {
      for (const Node& node : part.nodes) {
        found = found || fits(node, pattern);
        known.push_back(typed ? std::string(kType) + node.op_type : node.name);
      }
    });
    MC_CHECK(found, "{}: no node matches '{}'{}", key, pattern, did_you_mean(pattern, known));
  }
}

}  // namespace mc
