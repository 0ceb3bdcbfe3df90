// Pruning from samples alone, without training: magnitude, Wanda and SparseGPT on the layers of a graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/calibration/samples.h"
#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/module/graph_module.h"
#include "mc/prune/layer_list.h"
#include "mc/prune/structure.h"

namespace mc {

// magnitude: |w|, and the weights that stay keep their values; wanda: see wanda.h; sparsegpt: see
// sparsegpt.h, the weights that stay make up for those that go.
const std::vector<std::string>& calibrated_methods();

struct CalibratedOptions {
  std::string method = "sparsegpt";
  double sparsity = 0.5;                         // in [0, 1); an N:M pattern has its own
  std::map<std::string, double> by_weight = {};  // in its place, for these weights
  // uniform: each layer has it; erk: as erdos_renyi() with the kernel; sensitivity: searched by how far
  // pruning each layer alone moves the model's outputs on the samples. Only uniform for N:M.
  std::string distribution = "uniform";
  // Of unstructured, magnitude and sparsegpt count within a layer, wanda within each row.
  Structure structure = Unstructured{};
  std::vector<std::string> keep_dense = {};  // parameters left alone, by name or pattern
  int64_t samples = 128;                     // spread over the data; 0: all
  double damping = 0.01;                     // of sparsegpt: of the mean of the Hessian's diagonal
  // sparsegpt: once the mask is known, the weights that stay become the least squares of the layer's outputs
  // (see refit.h); the paper's update lets each column make up only for those before it.
  bool refit = true;
  // wanda and sparsegpt: the layer's own bias, where it has one, takes up the mean of what its outputs lose.
  bool correct_biases = true;
  // Layers see the inputs that the pruned layers before them give, for one pass over the samples a layer;
  // else those of the dense model. As the papers have it.
  bool sequential = true;
  int64_t hessian_bytes = int64_t{2} << 30;  // gathered in one pass where not sequential
};

struct CalibratedLayer {
  std::string node;
  std::string weight;
  double sparsity = 0;  // zeros by elements, as it is now
  // Of the layer's outputs: squared error over their squared size, on the inputs that calibrated. Only known
  // of sparsegpt.
  std::optional<double> error = {};
};

struct CalibratedReport {
  std::vector<CalibratedLayer> layers;
  std::vector<LeftDense> left;  // with the reason
  int64_t samples = 0;
};

// Prunes the module's layers in place and sets their masks; masks that are there stay in force and count.
// `samples` may be empty (no pass) for magnitude. Throws Error, and leaves the module as it was: an option
// out of its range, a pattern that matches nothing, no layer to prune, a layer whose mask is sparser than
// what is asked for, NaN or infinity in a weight or a layer's input, no samples where they are needed.
CalibratedReport prune_layers(GraphModule& module, const Samples& samples, const CalibratedOptions& options);

struct CalibratedModel {
  Model model;  // with masks
  CalibratedReport report;
};

// The same for a model. `dataset` has the fields of the model's inputs, in order; magnitude takes null.
CalibratedModel prune_with_data(const Model& model, std::shared_ptr<const Dataset> dataset,
                                const Normalization& normalization, const CalibratedOptions& options,
                                const ModuleOptions& module_options = {});

}  // namespace mc
