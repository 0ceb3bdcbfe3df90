// Quantization on graphs, while training or from samples alone: where FakeQuantize nodes stand is decided by
// a target (which operators, which types, where Q/DQ pairs go), so that the simulated graph and the exported
// one are the same computation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mc/base/options.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/calibrators.h"
#include "mc/train/method.h"

namespace mc {

// What one engine wants. Data, not code: docs/design.md, "Targets".
struct QuantizeTarget {
  std::string name;
  bool activation_signed = false;  // u8 or s8
  bool activation_symmetric = false;
  bool weight_per_channel = true;
  bool reduce_range = false;          // 7-bit weights: u8 times s8 saturates on AVX2 without VNNI
  bool quantize_bias = true;          // int32 bias with scale input * weight
  bool quantize_residual_add = true;  // both inputs and the output of an Add
  bool quantize_outputs = true;       // a convolution's output too, which its integer kernel writes
};
const std::vector<QuantizeTarget>& quantize_targets();       // onnxruntime, openvino, tensorrt
const QuantizeTarget& find_target(const std::string& name);  // Error with the nearest name

struct QuantizeOptions {
  std::string mode = "qat";
  std::string target = "onnxruntime";
  std::string observer = "moving_average";
  double averaging_constant = 0.01;
  double start = 0.0;  // part of the stage's steps before fake-quantization starts (observing only)
  double freeze_observers = 0.98;   // part of the stage after which ranges stay
  double freeze_batch_norm = 0.95;  // part of the stage after which batch-norm statistics stay
  bool fold_batch_norm = true;
  std::vector<std::string> keep_float;  // node names or globs
  // Below 8 bits the integers are stored as 8-bit ones of a narrower range.
  int64_t weight_bits = 8;
  int64_t activation_bits = 8;
  // Of ptq:
  std::string calibrator = "min_max";
  double percentile = 99.99;
  int64_t samples = 512;  // 0: all
  std::string weight_range = "auto";
  std::string rounding = "nearest";
  int64_t rounding_iterations = 2000;  // of each layer or block
  int64_t rounding_samples = 256;      // 0: all that calibrate
  template <class V>
  void describe(V& v) {
    v.field("mode", mode,
            "qat: train with simulated quantization; ptq: find the ranges of activations from samples alone",
            one_of({"qat", "ptq"}));
    v.field("target", target, "engine that the result is for",
            one_of({"onnxruntime", "openvino", "tensorrt"}));
    v.field("observer", observer, "how activation ranges are found", one_of({"moving_average", "min_max"}));
    v.field("averaging_constant", averaging_constant, "weight of the newest batch in a moving average",
            between(0, 1));
    v.field("start", start, "part of the stage's steps that only observe", between(0, 1));
    v.field("freeze_observers", freeze_observers, "part of the stage after which ranges stay", between(0, 1));
    v.field("freeze_batch_norm", freeze_batch_norm,
            "part of the stage after which batch-norm statistics stay", between(0, 1));
    v.field("fold_batch_norm", fold_batch_norm, "fold batch norm into the weights that are quantized");
    v.field("keep_float", keep_float, "nodes left float, by name or pattern");
    v.field("weight_bits", weight_bits, "bits of weights", between(2, 8));
    v.field("activation_bits", activation_bits, "bits of activations", between(2, 8));
    v.field("calibrator", calibrator, "ptq: how the range of an activation follows from the samples",
            one_of(calibrator_names()));
    v.field("percentile", percentile, "of the calibrator percentile: part of the elements in percent",
            between(50, 100));
    v.field("samples", samples, "ptq: samples to calibrate with, spread over the training data; 0: all",
            at_least(0));
    v.field(
        "weight_range", weight_range,
        "ptq: range of a weight: its largest magnitude, or the least squared error; auto: mse below 8 bits",
        one_of({"auto", "max", "mse"}));
    v.field("rounding", rounding, "ptq: how weights are rounded: to nearest, or learned by layer or block",
            one_of({"nearest", "adaround", "brecq"}));
    v.field("rounding_iterations", rounding_iterations, "steps that learn the rounding of a layer or block",
            at_least(1));
    v.field("rounding_samples", rounding_samples, "of those that calibrate, to learn rounding from; 0: all",
            at_least(0));
  }
  bool trains() const { return mode == "qat"; }
  bool weights_by_error() const {
    return weight_range == "mse" || (weight_range == "auto" && weight_bits < 8);
  }
};

struct LayerQuantization {
  std::string node;
  std::string op_type;
  bool quantized = false;
  std::string reason;  // why it was left float
};

// Inserts FakeQuantize nodes for the target, with ranges of weights taken from their values and ranges of
// activations still to be observed. Gives what was done to every layer. Throws Error when the model is
// already quantized or a keep_float pattern matches nothing; nothing has changed then.
std::vector<LayerQuantization> prepare_qat(Model& model, const QuantizeOptions& options);
std::vector<LayerQuantization> prepare_qat(GraphModule& module, const QuantizeOptions& options);

// Which FakeQuantize nodes observe, which quantize, and whether folded batch norm keeps its statistics.
struct QatPhase {
  bool observe = true;
  bool quantize = true;
  bool freeze_batch_norm = false;
};
void set_phase(GraphModule& module, const QatPhase& phase);

// The trained module as a plain float model with QuantizeLinear/DequantizeLinear pairs and integer
// weights, in the model's opset raised to at least 13.
Model convert(const Model& trained, const QuantizeOptions& options);
Model convert(const GraphModule& module, const QuantizeOptions& options);

// The names that people know: a copy of the module prepared for QAT, and its conversion.
std::shared_ptr<GraphModule> qat_version_model(const GraphModule& module,
                                               const QuantizeOptions& options = {});
Model convert_fx(const GraphModule& qat_module, const QuantizeOptions& options = {});

std::shared_ptr<Method> make_quantize_method(const QuantizeOptions& options);

}  // namespace mc
