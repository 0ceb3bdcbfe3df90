#include "mc/deploy/fusion.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace mc {
namespace {

// ONNX's own, and the contributed operators that ONNX Runtime fuses into (docs/ContribOperators.md there).
constexpr std::array<std::string_view, 10> kInteger = {
    "QLinearConv",     "ConvInteger",          "QGemm",      "QLinearMatMul",         "MatMulInteger",
    "MatMulInteger16", "MatMulIntegerToFloat", "QAttention", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"};
constexpr std::array<std::string_view, 12> kFloating = {
    "Conv",   "FusedConv",   "NhwcFusedConv",   "ConvTranspose",         "Gemm",      "FusedGemm",
    "MatMul", "FusedMatMul", "TransposeMatMul", "FusedMatMulActivation", "Attention", "MultiHeadAttention"};

template <size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

KernelCheck check_integer_kernels(const Model& optimized) {
  KernelCheck result;
  for_each_graph(optimized.graph, [&](const Graph& graph) {
    for (const Node& node : graph.nodes) {
      if (contains(kInteger, node.op_type)) result.integer.push_back(node.label());
      if (contains(kFloating, node.op_type)) result.floating.push_back(node.label());
    }
  });
  return result;
}

}  // namespace mc
