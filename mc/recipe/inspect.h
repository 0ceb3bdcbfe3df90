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

namespace mc {

// A node that multiplies by weights.
struct InspectedLayer {
  std::string name;
  std::string op;
  std::string weight;  // initializer; empty when it multiplies two activations
  std::vector<int64_t> shape;
  int64_t parameters = 0;
  double macs = 0;                 // of one sample; 0 where shapes are unknown
  std::optional<double> sparsity;  // share of zeros in the weight
  bool quantizable = false;
  std::string quantize_obstacle;
  bool prunable = false;
  std::string prune_obstacle;
};

struct Inspection {
  std::filesystem::path file;
  int64_t opset = 0;
  std::string producer;
  std::vector<std::string> inputs, outputs;  // "input float[batch,3,32,32]"
  int64_t nodes = 0;
  int64_t parameters = 0;  // elements of everything that trains
  double macs = 0;         // of one sample
  double sparsity = 0;     // of the layers' weights together
  std::map<std::string, int64_t> operators;
  std::vector<std::string> unsupported;
  std::vector<InspectedLayer> layers;
  std::vector<std::string> notes;  // what a person should know before training it
};

// Throws Error for a file that cannot be read; whatever else stands in the way becomes a note.
Inspection inspect_model(const std::filesystem::path& file);

Json to_json(const Inspection& inspection);  // the document of `inspect --json`

}  // namespace mc
