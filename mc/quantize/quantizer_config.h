// Q8BERT-style quantization-aware training (Zafrir et al., "Q8BERT: quantized 8bit BERT", 2019) under the
// names that IntelLabs' model_compression_research gave its parts: linear layers with one scale a weight
// tensor, and quantized inputs and outputs, from a step on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mc/module/graph_module.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct QuantizerConfig {
  int64_t quantization_begin = 0;                     // training step from which it observes and quantizes
  std::vector<std::string> not_to_quantize;           // parts of names: layers left float
  std::vector<std::string> not_to_requantize_output;  // parts of names: layers whose output stays float
  int64_t weight_bits = 8;                            // 2 to 8
  int64_t activation_bits = 8;                        // 2 to 8
  std::string mode = "ema";                           // "ema": moving averages of activations' ranges; "none"
  bool embeddings = false;                            // tables of Gather too, one scale a table
  bool attention = false;                             // products of two activations too
  std::string target = "onnxruntime";
};

// The options that mean the same for this model: convolutions stay float, and so do linear layers of whose
// name or weight's name an entry of not_to_quantize is a part. Throws Error for numbers out of range.
QuantizeOptions quantize_options(const Model& model, const QuantizerConfig& config);

// Quantizes a module in place and starts at the step that the configuration names.
class Quantizer {
 public:
  Quantizer(GraphModule& module, QuantizerConfig config);

  // Inserts the quantizers, idle where quantization begins later. Throws Error as prepare_qat does.
  void quantize();

  // To be called after each step of training.
  void step();
  int64_t steps() const { return steps_; }

 private:
  void set_phase_of_step();

  GraphModule& module_;
  QuantizerConfig config_;
  int64_t steps_ = 0;
};

// A copy of the module with linear layers quantized from the first step on.
std::shared_ptr<GraphModule> convert_model_for_qat(const GraphModule& module,
                                                   const QuantizerConfig& config = {});

}  // namespace mc
