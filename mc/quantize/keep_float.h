// Nodes that a user wants left float.
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

// True where one of the patterns (shell-style) fits the node's name.
bool kept_float(const Node& node, const std::vector<std::string>& patterns);

// Throws Error for a pattern that fits no node of the graph or its subgraphs, with the nearest name.
void check_keep_float(const Graph& graph, const std::vector<std::string>& patterns);

}  // namespace mc
