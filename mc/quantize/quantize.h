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

// Whether a convolution's output is quantized.
enum class QuantizeOutputs {
  kWanted,   // where another layer reads it: the kernel may write floats as well
  kCarried,  // also where pooling, Concat or Add read it, directly or through what only moves values
  kAlways,   // the integer kernel writes nothing else
};

// What one engine wants. Data, not code: docs/design.md, "Targets".
struct QuantizeTarget {
  std::string name;
  bool activation_signed = false;  // u8 or s8
  bool activation_symmetric = false;
  bool weight_per_channel = true;
  bool reduce_range = false;      // 7-bit weights: u8 times s8 saturates on AVX2 without VNNI
  bool quantize_bias = true;      // int32 bias with scale input * weight
  bool onnxruntime_form = false;  // written as its fusions want it: onnxruntime_form.h
  QuantizeOutputs outputs = QuantizeOutputs::kAlways;
  // The input of an Add that the convolution just before writes stays in its registers: only the other is
  // quantized. Else both are, and the sum.
  bool spare_residual = false;
  bool conv_transpose = true;
  bool grouped_conv_transpose = true;
  // Operators through which the engine moves a DequantizeLinear by itself; behind the others that only move
  // values stands a pair with their input's scale.
  std::vector<std::string> carriers = {};
  bool blocked_weights = true;  // DequantizeLinear of opset 21 with block_size
  bool asymmetric_weights = true;
  bool int4_weights = true;  // reads weights stored as int4 (DequantizeLinear of opset 21)
};
const std::vector<QuantizeTarget>& quantize_targets();       // onnxruntime, openvino, tensorrt
const QuantizeTarget& find_target(const std::string& name);  // Error with the nearest name

// Bits of the weights of some layers.
struct LayerBits {
  std::string nodes;  // a pattern, as keep_float has them
  int64_t weight_bits = 8;
  template <class V>
  void describe(V& v) {
    v.field("nodes", nodes, "layers, by name, pattern or type:OPERATOR", required());
    v.field("weight_bits", weight_bits, "bits of their weights", between(2, 8));
  }
};

struct QuantizeOptions {
  std::string mode = "qat";
  std::string target = "onnxruntime";
  std::string observer = "moving_average";
  double averaging_constant = 0.01;
  double start = 0.0;  // part of the stage's steps before fake-quantization starts (observing only)
  double freeze_observers = 0.98;   // part of the stage after which ranges stay
  double freeze_batch_norm = 0.95;  // part of the stage after which batch-norm statistics stay
  bool fold_batch_norm = true;
  std::vector<std::string> keep_float;  // names or globs of nodes, or "type:OPERATOR"
  // Below 8 bits the integers are stored as 8-bit ones of a narrower range, unless weight_storage says
  // otherwise.
  int64_t weight_bits = 8;
  std::vector<LayerBits> layers = {};  // in place of weight_bits; the last that fits counts
  std::string weight_storage = "int8";
  int64_t activation_bits = 8;
  int64_t observe_every = 10;  // steps between two looks of an observer that clips
  std::string weight_granularity = "channel";
  int64_t group_size = 128;
  std::string weight_scheme = "symmetric";
  std::string activation_scheme = "target";
  std::string embeddings = "float";          // tables of Gather
  bool attention = false;                    // products of two activations too
  std::vector<std::string> requantize = {};  // matrix products whose output is quantized too
  // Of ptq:
  std::string calibrator = "min_max";
  double percentile = 99.99;
  int64_t samples = 512;  // 0: all
  bool equalize = false;
  double smooth = 0;  // 0: off
  std::string bias_correction = "none";
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
    v.field("observer", observer, "how ranges are found, or that scales are learned",
            one_of({"moving_average", "min_max", "percentile", "mse", "histogram", "lsq", "lsq_plus"}));
    v.field("observe_every", observe_every,
            "of the observers percentile, mse and histogram: steps between two looks at a subsample",
            at_least(1));
    v.field("averaging_constant", averaging_constant, "weight of the newest batch in a moving average",
            between(0, 1));
    v.field("start", start, "part of the stage's steps that only observe", between(0, 1));
    v.field("freeze_observers", freeze_observers, "part of the stage after which ranges stay", between(0, 1));
    v.field("freeze_batch_norm", freeze_batch_norm,
            "part of the stage after which batch-norm statistics stay", between(0, 1));
    v.field("fold_batch_norm", fold_batch_norm, "fold batch norm into the weights that are quantized");
    v.field("keep_float", keep_float, "nodes left float, by name, pattern or type:OPERATOR");
    v.field("weight_bits", weight_bits, "bits of weights", between(2, 8));
    v.field("layers", layers, "layers with other bits of weights; the last entry that fits counts");
    v.field("weight_storage", weight_storage,
            "how weights of at most 4 bits stand in the file: int8, for integer kernels; int4, in half the "
            "bytes (opset 21), which engines turn back into floats",
            one_of({"int8", "int4"}));
    v.field("activation_bits", activation_bits, "bits of activations", between(2, 8));
    v.field("weight_granularity", weight_granularity, "what shares a scale of a weight",
            one_of({"channel", "tensor", "group"}));
    v.field("group_size", group_size, "of weight_granularity group: neighbouring inputs that share a scale",
            at_least(2));
    v.field("weight_scheme", weight_scheme, "symmetric: the zero point of weights is 0",
            one_of({"symmetric", "asymmetric"}));
    v.field("activation_scheme", activation_scheme, "symmetric: the zero point is the middle of the grid",
            one_of({"target", "symmetric", "asymmetric"}));
    v.field("embeddings", embeddings, "tables of Gather: left float, or one scale a tensor or a row",
            one_of({"float", "tensor", "row"}));
    v.field("attention", attention, "quantize both inputs of products of two activations");
    v.field("requantize", requantize, "matrix products whose output is quantized too, by name or pattern");
    v.field("calibrator", calibrator, "ptq: how the range of an activation follows from the samples",
            one_of(calibrator_names()));
    v.field("percentile", percentile,
            "of the calibrator and the observer percentile: part of the elements in percent",
            between(50, 100));
    v.field("samples", samples, "ptq: samples to calibrate with, spread over the training data; 0: all",
            at_least(0));
    v.field("equalize", equalize,
            "ptq: move factors between layers so that the channels of their weights have like ranges");
    v.field("smooth", smooth,
            "ptq: how much of the activations' differences between channels moves into the weights of matrix "
            "products (SmoothQuant's alpha); 0: off",
            between(0, 1));
    v.field(
        "bias_correction", bias_correction,
        "ptq: take the mean error of each layer's outputs back in its bias; fast: in one pass, each layer "
        "by itself; full: layer after layer",
        one_of({"none", "fast", "full"}));
    v.field("weight_range", weight_range,
            "ptq: range of a weight: its largest magnitude, or the least squared error; auto: mse below 8 "
            "bits with learned rounding",
            one_of({"auto", "max", "mse"}));
    v.field("rounding", rounding, "ptq: how weights are rounded: to nearest, or learned by layer or block",
            one_of({"nearest", "adaround", "brecq"}));
    v.field("rounding_iterations", rounding_iterations, "steps that learn the rounding of a layer or block",
            at_least(1));
    v.field("rounding_samples", rounding_samples, "of those that calibrate, to learn rounding from; 0: all",
            at_least(0));
  }
  bool trains() const { return mode == "qat"; }
  bool learns_scales() const { return trains() && (observer == "lsq" || observer == "lsq_plus"); }
  // Whether the range of a weight of so many bits is that of the least squared error.
  bool weights_by_error(int64_t bits) const {
    return weight_range == "mse" || (weight_range == "auto" && bits < 8 && rounding != "nearest");
  }
};

struct LayerQuantization {
  std::string node;
  std::string op_type;
  bool quantized = false;
  std::string reason;  // why it was left float
};

// Inserts FakeQuantize nodes (LearnedFakeQuantize where scales are learned) for the target, with ranges of
// weights taken from their values and ranges of activations still to be observed. Gives what was done to
// every layer. Throws Error when the model is already quantized, a pattern matches nothing, or the target
// cannot take what the options ask for; nothing has changed then.
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
