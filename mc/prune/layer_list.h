// The layers of a graph whose inputs can be seen, for methods that weigh a weight by them.
#pragma once

#include <string>
#include <vector>

#include "mc/calibration/input_statistics.h"
#include "mc/module/graph_module.h"

namespace mc {

struct PrunableLayer {
  Node node;           // Conv, Gemm or MatMul, as in the module's structure
  std::string weight;  // name of the parameter
  std::string bias;    // that is added to the outputs, one number each; empty where no node reads one
  InputView input;     // the rows that to_matrix(node, weight) multiplies
};

struct LeftDense {
  std::string name;  // of the node
  std::string reason;
};

struct LayerList {
  std::vector<PrunableLayer> layers;  // in the order of the graph
  std::vector<LeftDense> others;      // convolutions and matrix products that are not among them
};

// Every Conv, and every Gemm and MatMul by a matrix, whose float32 weight trains and has no other reader.
LayerList list_layers(const GraphModule& module);

}  // namespace mc
