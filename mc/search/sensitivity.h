// How much each quantized layer costs: the SNR at the outputs with only that layer quantized, and with only
// that layer left float. Layers whose quantization hurts most come first when bits or float parts are chosen.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/module/graph_module.h"

namespace mc {

struct LayerSensitivity {
  std::string node;
  std::string op_type;
  double snr_alone_db = 0;                        // only this layer quantized, against the float model
  double snr_without_db = 0;                      // all but this layer quantized, against the float model
  int64_t weights = 0;                            // elements
  double macs = 0;                                // multiply-accumulates of one sample; 0: unknown
  std::map<int64_t, double> snr_by_bits_db = {};  // alone, with so many bits; see measure_bits
};
Json to_json(const std::vector<LayerSensitivity>& layers);

// Measures every layer of a module that is prepared and calibrated (prepare_qat and set_ranges, or trained),
// in the order of the graph, on batches of samples in the order of the module's inputs; SNR is the smallest
// of the outputs. A layer's quantizers are that of its weight and those that only it reads among its inputs'.
// The module is left quantizing as it came. Throws Error: no quantized layer, no batch, kInterrupted.
std::vector<LayerSensitivity> sensitivity(GraphModule& quantized, const std::vector<Batch>& batches);

// Adds to `layers`, which sensitivity() gave of the same module, the SNR of each alone with its weight in so
// many bits (2 to 8, ranges of least squared error), its activations as they were. Throws Error as
// sensitivity does.
void measure_bits(const GraphModule& quantized, const std::vector<Batch>& batches,
                  const std::vector<int64_t>& bits, std::vector<LayerSensitivity>& layers);

// So many samples, spread over the dataset, in batches that a module of the graph takes. Throws Error as
// calibration_samples does.
std::vector<Batch> some_batches(std::shared_ptr<const Dataset> dataset, const Normalization& normalization,
                                int64_t samples, const Graph& graph);

// The layers' names, the most harmful first: by snr_alone_db.
std::vector<std::string> most_sensitive_first(std::vector<LayerSensitivity> layers);

}  // namespace mc
