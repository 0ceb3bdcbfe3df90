// What operators with subgraphs (If, Loop, Scan, SequenceMap) share. Internal to the room.
#pragma once

#include <memory>
#include <vector>

#include "mc/ops/op.h"

namespace mc {

// The graph that the attribute holds. Throws Error when there is none.
std::shared_ptr<Graph> subgraph_of(const Node& node, const char* attribute);

// Runs it; as many outputs as it declares.
std::vector<Slot> run_body(const KernelArgs& args, const Graph& graph, std::vector<Slot> inputs);

// What the iterations gave for one scan output, along a new axis. After no iteration at all its shape is what
// the body declares, with 0 for dims that it leaves open.
Slot stack_scan(const std::vector<Slot>& slices, const ValueInfo& declared, int64_t axis);

}  // namespace mc
