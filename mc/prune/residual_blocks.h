// Whole layers and blocks: where a network adds a branch to what the branch was computed from, the branch can
// go and the sum becomes its other term (residual networks lose little by it: Veit et al. 2016, arXiv
// 1605.06431).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/module/state.h"

namespace mc {

class GraphModule;

struct ResidualBlock {
  std::string name;                       // of the node that adds; of its output where it has none
  std::string skip;                       // the value that remains
  std::string output;                     // the sum
  std::vector<std::string> nodes;         // labels of what goes, in the order of the graph
  std::vector<std::string> initializers;  // what nothing else reads
  int64_t parameters = 0;                 // elements of the float ones
};

// Sums of two values of one type (as inferred) of which one is computed from the other, in the order of the
// graph. A block may hold others (those of a U-Net do). Throws Error as infer_shapes does.
std::vector<ResidualBlock> residual_blocks(const Model& model);

// The model without these blocks' branches: what it computes if their branches gave zeros. Throws Error,
// before anything changes, for a name that is no block (with the nearest) or is named twice.
Model remove_blocks(const Model& model, const std::vector<std::string>& blocks);
// The same in a live module; what remains keeps its state.
EditReport remove_blocks(GraphModule& module, const std::vector<std::string>& blocks);

}  // namespace mc
