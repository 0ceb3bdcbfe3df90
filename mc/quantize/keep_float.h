// Nodes that a user names: those left float, above all. A pattern is shell-style and meets the node's name,
// or behind "type:" its operator ("type:Softmax").
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

bool fits_any(const Node& node, const std::vector<std::string>& patterns);

// Throws Error for a pattern that fits no node of the graph or its subgraphs, with the nearest name; `key` is
// the option that holds it.
void check_patterns(const Graph& graph, const std::string& key, const std::vector<std::string>& patterns);

}  // namespace mc
