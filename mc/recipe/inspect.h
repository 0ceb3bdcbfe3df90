// What is in a model file, and what could be done with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/graph/graph.h"
#include "mc/ops/op.h"

namespace mc {

// A node that multiplies by weights.
struct InspectedLayer {
  std::string name;
  std::string op;
  std::string weight;  // initializer; empty when it multiplies two activations
  std::vector<int64_t> shape;
  int64_t parameters = 0;
  double macs = 0;                 // of one sample; 0 where shapes are unknown
  double activation_bytes = 0;     // of its outputs, of one sample
  std::optional<double> sparsity;  // share of zeros in the weight
  std::string pattern;             // of the zeros, as pattern_name() has it; empty without a weight
  bool quantizable = false;
  std::string quantize_obstacle;
  bool prunable = false;
  std::string prune_obstacle;
};

// Channels that can only be cut together (mc/prune/channel_groups.h).
struct InspectedGroup {
  std::string name;
  int64_t channels = 0;
  std::vector<std::string> parameters;  // that lose something with a channel
  double parameters_saved = 0;          // by each channel that goes
  double macs_saved = 0;                // by the first one, of one sample; of layers with weights
  std::string inexact;                  // why a cut changes more than zeros in its place; empty: it does not
  std::string obstacle;                 // why none can go; empty: each can
};

// A branch that is added to what it was computed from, and can go (mc/prune/residual_blocks.h).
struct InspectedBlock {
  std::string name;  // of the sum
  std::vector<std::string> nodes;
  double parameters_saved = 0;
  double macs_saved = 0;  // of one sample
};

struct Inspection {
  std::filesystem::path file;
  int64_t opset = 0;
  std::string producer;
  std::vector<std::string> inputs, outputs;  // "input float[batch,3,32,32]"
  int64_t nodes = 0;
  int64_t parameters = 0;       // elements of everything that trains
  double macs = 0;              // of one sample
  double activation_bytes = 0;  // of all values that nodes make, as training keeps them; of one sample
  std::vector<NodeCost> costs;  // by node of the outermost graph
  double sparsity = 0;          // of the layers' weights together
  std::map<std::string, int64_t> operators;
  std::vector<std::string> unsupported;
  std::vector<InspectedLayer> layers;
  std::vector<InspectedGroup> groups;  // of channels
  std::vector<InspectedBlock> blocks;  // residual ones
  std::vector<std::string> notes;      // what a person should know before training it
};

// Shapes to count costs for, by input.
using InputShapes = std::map<std::string, std::vector<int64_t>>;

// Costs are those of one sample (first dim of every input 1) where `shapes` does not say otherwise; other
// open dims count as 1, and a note says so. Throws Error for a file that cannot be read, and for shapes that
// do not fit; whatever else stands in the way becomes a note.
Inspection inspect_model(const std::filesystem::path& file, const InputShapes& shapes = {});

Json to_json(const Inspection& inspection);  // the document of `inspect --json`

}  // namespace mc
