// The passes themselves, one file each; pass.cpp lists them. Each returns how many places it changed and
// looks at the outermost graph only, unless it says otherwise.
#pragma once

#include <functional>

#include "mc/graph/graph.h"

namespace mc {

// What fold_constants may compute beforehand.
struct FoldOptions {
  std::function<bool(const Initializer&)> foldable;  // initializers that count as constant; none: all
  bool quantizers = false;                           // fold DequantizeLinear and fake-quantize nodes too
  bool as_initializers = false;  // results become initializers, else Constant nodes (which never train)
};

// What inference knows without running the model becomes a Constant: Shape of known dims, and integer
// arithmetic on shapes (one known dim of an open shape too); CastLike of a known type becomes a Cast. So they
// no longer count as readers of a weight. Needs inferred types.
int fold_types(Model& model);

// Runs the kernels of nodes whose inputs are all constant. A result is kept only when it has at most
// 1 MiB, or at most the bytes of the inputs (eight times those with `quantizers`, which widen codes to
// floats). Random operators, control flow and makers of graph outputs stay. A node whose kernel fails
// stays too: it will say what is wrong when it runs.
int fold_constants(Model& model, const FoldOptions& options);

// Removes Identity, and Cast, Transpose, Reshape and Dropout where they change nothing in inference.
// Cast and Reshape need inferred types.
int drop_identity(Model& model);

// Conv, ConvTranspose, Gemm or MatMul (on matrices) followed by BatchNormalization becomes one node.
// With s = scale / sqrt(var + epsilon): W' = W s over output channels, b' = (b - mean) s + B
// (Jacob et al. 2018, section 3.2), computed in double. Only where all parameters are constant and
// nothing else reads the value between the two.
int fold_batch_norm(Model& model);

// BatchNormalization and Dropout that were written for training (training_mode) become what they are in
// inference, in subgraphs too: engines follow the file. A BatchNormalization whose new statistics are read
// stays.
int inference_form(Model& model);

// A constant zero Pad of spatial axes goes into the pads of the Conv that alone reads it.
int fuse_pad(Model& model);

// Conv with a constant float weight [M, C / group, kH, kW] and the addition and activation that alone read it
// become one node mc.FusedConv, which runs as one oneDNN primitive. For plans of inference on the CPU only:
// no engine knows the operator. Needs inferred types.
int fuse_conv(Model& model);

// A Relu that alone reads an Add becomes mc.AddRelu, which writes the sum once: of residuals that a
// convolution cannot take in because its own value is watched. For plans of inference only, behind fuse_conv.
int fuse_add_relu(Model& model);

// A FakeQuantize that neither observes nor quantizes (constant flags, all 0) becomes the activation function
// that it took in, else an Identity.
int drop_idle_quantizers(Model& model);

// What ONNX Runtime makes one integer kernel of becomes that kernel's operator, which rounds as the engine
// does: Conv, Gemm, MatMul, Add, Mul, Concat, AveragePool and GlobalAveragePool between DequantizeLinear and
// QuantizeLinear with 8-bit types and constant scales, with a Relu or Clip that the quantizer's range makes
// superfluous; Gemm and MatMul also without a QuantizeLinear behind. QLinearConv, QLinearMatMul, and of
// com.microsoft QGemm, MatMulIntegerToFloat, QLinearAdd, QLinearMul, QLinearConcat, QLinearAveragePool and
// QLinearGlobalAveragePool. For plans of inference. Needs inferred types.
int fuse_integer(Model& model);

// Calls of model-local functions that have no kernel become the function's nodes, in subgraphs too.
// Throws Error on recursion, a missing attribute or input count, and where the function imports another
// version of an operator set than the model.
int inline_functions(Model& model);

// What the passes share.

// The value of an initializer (that no caller can override) or of a Constant node's tensor; null if none.
const Tensor* constant_value(const Graph& graph, const Uses& uses, const std::string& value);

// `into` stands for its own sources and those of `node` from now on.
void absorb(Node& into, const Node& node);

}  // namespace mc
