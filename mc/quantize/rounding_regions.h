// The pieces of a prepared model whose roundings are learned together: a layer with its activation function
// (AdaRound), or a block (Y. Li et al., "BRECQ: Pushing the limit of post-training quantization by block
// reconstruction", ICLR 2021, section 3.2), found on the graph.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct RoundingRegion {
  std::vector<size_t> nodes;         // of the graph, ascending
  std::vector<std::string> entries;  // values from outside that depend on the model's inputs
  std::string exit;                  // the value to reconstruct, before it is quantized
  std::vector<std::string> weights;  // quantized weights (WeightQuantizer::value), each of one region only
  std::vector<std::string> layers;   // names of the nodes that read them
};

// More layers than this are no block: they are learned one by one.
inline constexpr size_t kMostLayersOfABlock = 8;

// One for each node that reads a quantized weight, in the order of the graph: the node, what adds a constant
// behind it (bias, folded batch norm), and the activation function behind that.
std::vector<RoundingRegion> layer_regions(const Model& prepared);

// The stretches of the graph between two places where everything after depends on one value only: from one
// residual add to the next, half a transformer block, a block with parallel branches; with the activation
// function behind. Values that no weight has touched (an attention mask) may pass by. A layer that is in no
// such stretch, or in one of too many layers or with several results, is a region of its own.
std::vector<RoundingRegion> block_regions(const Model& prepared);

}  // namespace mc
