// Weight-only quantization: matrices that multiply activations become integers of 4 or 8 bits with a scale
// for each block of inputs; activations stay float. For transformers, whose weights are most of their memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"
#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct WeightOnlyOptions {
  std::string target = "onnxruntime";
  std::string method = "rtn";   // see weight_methods
  std::string format = "auto";  // see weight_formats
  int64_t bits = 4;             // 4 or 8
  int64_t block = 32;           // a power of two from 16 to 256
  bool symmetric = false;       // TensorRT takes nothing else
  bool embeddings = false;      // tables that Gather reads too; always rounded to nearest
  double damping = 0.01;        // of gptq
  bool act_order = false;       // of gptq
  int64_t samples = 128;        // of gptq and awq, spread over the data; 0: all
  // Hessians gathered in one pass over the samples, in bytes; a model with more takes several passes.
  int64_t hessian_bytes = int64_t{2} << 30;
  std::vector<std::string> keep_float = {};  // node names or globs
};

// rtn, gptq, awq, hqq.
const std::vector<std::string>& weight_methods();
bool weight_method_needs_data(const std::string& method);

// auto: what the target runs fastest; dequantize: DequantizeLinear with blocks (opset 21); matmul_nbits:
// com.microsoft's MatMulNBits and GatherBlockQuantized.
const std::vector<std::string>& weight_formats();

// Throws Error for an unknown name or a number out of its range.
void check_weight_only(const WeightOnlyOptions& options);

struct WeightOnlyModel {
  Model model;
  std::vector<LayerQuantization> layers;
  int64_t samples = 0;  // that calibrated
};

// Every MatMul and Gemm of the outermost graph whose right side is a constant float32 matrix that nothing
// else reads; others are reported with the reason. Hessians of gptq and awq are those of the float model.
// `dataset` has the fields of the model's inputs, in order; methods without data take null. Throws Error: an
// option out of its range, a model that is quantized already, no such layer, a keep_float pattern without a
// node, no samples where they are needed, NaN or infinity in a weight or a layer's input.
WeightOnlyModel quantize_weights(const Model& model, std::shared_ptr<const Dataset> dataset,
                                 const Normalization& normalization, const WeightOnlyOptions& options);

}  // namespace mc
