#include "mc/deploy/fusion.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "mc/deploy/sample_inputs.h"
#include "mc/graph/fixed_batch.h"
#include "mc/onnx/onnx.h"

namespace mc {
namespace {

// ONNX's own, and the contributed operators that ONNX Runtime fuses into (docs/ContribOperators.md there).
constexpr std::array<std::string_view, 10> kInteger = {
    "QLinearConv",     "ConvInteger",          "QGemm",      "QLinearMatMul",         "MatMulInteger",
    "MatMulInteger16", "MatMulIntegerToFloat", "QAttention", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"};
constexpr std::array<std::string_view, 12> kFloating = {
    "Conv",   "FusedConv",   "NhwcFusedConv",   "ConvTranspose",         "Gemm",      "FusedGemm",
    "MatMul", "FusedMatMul", "TransposeMatMul", "FusedMatMulActivation", "Attention", "MultiHeadAttention"};
// OpenVINO's names begin so: GroupConvolution, ConvolutionBackpropData, FullyConnectedQuantizedLegacy ...
constexpr std::array<std::string_view, 4> kOpenVinoKinds = {"Convolution", "GroupConvolution",
                                                            "FullyConnected", "MatMul"};

template <size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string name_of(const Node& node) {
  return node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
}

// A kernel is called by how it was compiled and what it reads: "brgconv_avx512_amx_I8".
bool reads_integers(const KernelRun& run) {
  return run.kernel.ends_with("_I8") || run.kernel.ends_with("_U8");
}

std::vector<at::Tensor> one_sample(const Session& session, const Dataset* data) {
  int64_t batch = 1;
  for (const PortInfo& port : session.inputs()) {
    if (const int64_t fixed = fixed_batch(port.type); fixed >= 0) batch = fixed;
  }
  return sample_inputs(session.inputs(), data, batch);
}

}  // namespace

KernelCheck check_integer_kernels(const Model& optimized) {
  KernelCheck result;
  for_each_graph(optimized.graph, [&](const Graph& graph) {
    for (const Node& node : graph.nodes) {
      if (contains(kInteger, node.op_type)) result.integer.push_back(name_of(node));
      if (contains(kFloating, node.op_type)) result.floating.push_back(name_of(node));
      const bool converts = node.op_type == "QuantizeLinear" || node.op_type == "DequantizeLinear";
      if (converts && !graph.initializer(node.input(0))) result.conversions.push_back(name_of(node));
    }
  });
  return result;
}

KernelCheck check_integer_kernels(const std::vector<KernelRun>& kernels) {
  KernelCheck result;
  for (const KernelRun& run : kernels) {
    const bool computes = std::ranges::any_of(
        kOpenVinoKinds, [&](std::string_view kind) { return run.type.starts_with(kind); });
    if (computes) (reads_integers(run) ? result.integer : result.floating).push_back(run.node);
    if (run.type == "FakeQuantize" || (run.type == "Convert" && reads_integers(run)))
      result.conversions.push_back(run.node);
  }
  return result;
}

std::optional<KernelCheck> read_kernels(Engine& engine, const std::filesystem::path& model,
                                        const Dataset* data) {
  EngineOptions options;
  if (engine.name() == "onnxruntime") {
    options.optimized_model = model.string() + ".optimized.onnx";
    engine.load(model, options);
    const KernelCheck check = check_integer_kernels(read_onnx(options.optimized_model));
    std::error_code error;
    std::filesystem::remove(options.optimized_model, error);
    return check;
  }
  options.profile = true;
  const auto session = engine.load(model, options);
  session->infer(one_sample(*session, data));
  const std::vector<KernelRun> kernels = session->kernels();
  if (kernels.empty()) return std::nullopt;
  return check_integer_kernels(kernels);
}

Json to_json(const KernelCheck& check) {
  return {{"integer", check.integer.size()},
          {"floating", check.floating},
          {"conversions", check.conversions.size()}};
}

}  // namespace mc
