// Topological order of a graph's nodes.
#pragma once

#include <cstddef>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

// Indices of the nodes so that each comes after those it reads from, otherwise in the written order.
// Throws Error that names a node on a cycle.
std::vector<size_t> topological_order(const Graph& graph);

}  // namespace mc
