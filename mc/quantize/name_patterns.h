// Nodes that a user names in options, by their names or by patterns (shell-style).
#pragma once

#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

// True where one of the patterns fits the node's name.
bool matches(const Node& node, const std::vector<std::string>& patterns);

// The names of all nodes, those of subgraphs too.
std::vector<std::string> node_names(const Graph& graph);

// Throws Error for a pattern that fits none of the names, with the nearest one; `key` is what the user calls
// the option.
void check_patterns(const std::string& key, const std::vector<std::string>& patterns,
                    const std::vector<std::string>& names);

}  // namespace mc
