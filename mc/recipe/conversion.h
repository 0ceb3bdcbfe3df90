// Files that are made of a stage's network without training: what the command `quantize` calls modes, as
// keys of a recipe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "mc/base/options.h"
#include "mc/quantize/weight_only.h"
#include "mc/recipe/quantize_mode.h"

namespace mc {

// Integers of 4 or 8 bits for the matrices of MatMul and Gemm; activations stay float.
struct WeightsMode {
  static constexpr const char* kName = "weights";
  static constexpr const char* kShorthand = "method";
  std::string method = "rtn";
  int64_t bits = 4;
  int64_t block = 32;
  std::string format = "auto";
  bool symmetric = false;
  bool embeddings = false;
  bool act_order = false;
  double damping = 0.01;
  int64_t samples = 128;

  template <class V>
  void describe(V& v) {
    v.field("method", method, "how integers follow from weights", one_of(weight_methods()));
    v.field("bits", bits, "of a weight: 4 or 8", between(4, 8));
    v.field("block", block, "inputs that share a scale: 16, 32, 64, 128 or 256", between(16, 256));
    v.field("format", format, "how they stand in the file", one_of(weight_formats()));
    v.field("symmetric", symmetric, "no zero points");
    v.field("embeddings", embeddings, "tables that Gather reads too");
    v.field("act_order", act_order, "gptq: columns with large inputs first");
    v.field("damping", damping, "gptq: part of the mean of the Hessian's diagonal added to it", above(0));
    v.field("samples", samples, "gptq, awq: samples to weigh errors by; 0: all", at_least(0));
  }
  void check() const;
};

// Weights int8, activations uint8 by their own range in every run.
struct DynamicMode {
  static constexpr const char* kName = "dynamic";
  bool reduce_range = false;

  template <class V>
  void describe(V& v) {
    v.field("reduce_range", reduce_range, "7-bit weights, for processors without VNNI");
  }
};

struct Fp16Mode {
  static constexpr const char* kName = "fp16";
  bool convert_io = false;

  template <class V>
  void describe(V& v) {
    v.field("convert_io", convert_io, "inputs and outputs of the model too, which keep float32 otherwise");
  }
};

struct Bf16Mode : Fp16Mode {
  static constexpr const char* kName = "bf16";
};

struct Float8Mode {
  static constexpr const char* kName = "float8";
  std::string calibrator = "min_max";
  double percentile = 99.99;
  int64_t samples = 512;

  template <class V>
  void describe(V& v) {
    v.field("calibrator", calibrator, "how the range of an activation follows from the samples",
            one_of({"min_max", "moving_average", "percentile"}));
    v.field("percentile", percentile, "of the calibrator percentile: part of the elements in percent",
            between(50, 100));
    v.field("samples", samples, "samples to calibrate with, spread over the training data; 0: all",
            at_least(0));
  }
};

using ConversionMode = std::variant<WeightsMode, DynamicMode, Fp16Mode, Bf16Mode, Float8Mode>;

struct ConversionOptions {
  std::string name;
  std::string stage;
  ConversionMode mode;
  std::string target = "onnxruntime";
  std::vector<std::string> keep_float;

  template <class V>
  void describe(V& v) {
    v.field("name", name, "the file's name, without .onnx", required());
    v.field("stage", stage, "whose network is converted: one that is not quantized, teacher or original",
            required());
    v.field("mode", mode, "what is made of it", required());
    v.field("target", target, "engine that the result is for",
            one_of({"onnxruntime", "openvino", "tensorrt"}));
    v.field("keep_float", keep_float, "nodes left float, by name, pattern or type:OPERATOR");
  }
};

// The same as the command has it.
QuantizeModeOptions quantize_mode_options(const ConversionOptions& options);

// Throws Error for what a network cannot be converted to, as far as it is known before training: patterns
// that fit no node, no matrix to quantize, a model that is quantized already.
void check_conversion(Model model, const ConversionOptions& options);

// A float network in its inference form -> what the options ask for; calibrates on the dataset, whose fields
// are in the order of the model's inputs. Throws what run_quantize_mode throws.
ModeResult run_conversion(const Model& model, std::shared_ptr<const Dataset> training,
                          const Normalization& normalization, const ConversionOptions& options);

}  // namespace mc
