#include "mc/quantize/quantizer_config.h"

#include <algorithm>

#include "mc/base/error.h"

namespace mc {
namespace {

bool is_quantizer_linear(const Node& node) {
  return node.is("Gemm") || node.is("MatMul");
}

bool any_part_of(const std::vector<std::string>& parts, const Node& node) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return node.name.find(part) != std::string::npos || node.input(1).find(part) != std::string::npos;
  });
}

// A name as a pattern that matches only it.
std::string exactly(const std::string& name) {
  MC_CHECK(!name.empty() && name.find_first_of("*?") == std::string::npos,
           "convert_model_for_qat: the node name '{}' cannot be told from a pattern", name);
  return name;
}

}  // namespace

QuantizeOptions quantize_options(const Model& model, const QuantizerConfig& config) {
  MC_CHECK(config.quantization_begin >= 0, "quantization_begin is {}; it must be at least 0",
           config.quantization_begin);
  for (const int64_t bits : {config.weight_bits, config.activation_bits}) {
    MC_CHECK(bits >= 2 && bits <= 8, "weight_bits and activation_bits must be from 2 to 8, not {}", bits);
  }
  MC_CHECK(config.mode == "ema" || config.mode == "none", "mode is '{}'; it must be ema or none",
           config.mode);
  QuantizeOptions options;
  options.target = config.target;
  options.weight_bits = config.weight_bits;
  options.activation_bits = config.activation_bits;
  options.weight_granularity = "tensor";
  options.embeddings = config.embeddings ? "tensor" : "float";
  options.attention = config.attention;
  for (const Node& node : model.graph.nodes) {
    const bool computes = is_quantizer_linear(node) || node.is("Conv") || node.is("ConvTranspose");
    const bool table = config.embeddings && node.is("Gather");
    if (!computes && !table) continue;
    if ((!is_quantizer_linear(node) && !table) || any_part_of(config.not_to_quantize, node)) {
      options.keep_float.push_back(exactly(node.name));
    } else if (is_quantizer_linear(node) && model.graph.initializer(node.input(1)) &&
               !any_part_of(config.not_to_requantize_output, node)) {
      options.requantize.push_back(exactly(node.name));
    }
  }
  return options;
}

Quantizer::Quantizer(GraphModule& module, QuantizerConfig config)
    : module_(module), config_(std::move(config)) {}

void Quantizer::quantize() {
  const QuantizeOptions options = quantize_options(module_.structure(), config_);
  if (config_.mode == "none") return;
  prepare_qat(module_, options);
  set_phase_of_step();
}

void Quantizer::step() {
  ++steps_;
  if (steps_ == config_.quantization_begin && config_.mode != "none") set_phase_of_step();
}

void Quantizer::set_phase_of_step() {
  const bool on = steps_ >= config_.quantization_begin;
  set_phase(module_, {.observe = on, .quantize = on, .freeze_batch_norm = false});
}

std::shared_ptr<GraphModule> convert_model_for_qat(const GraphModule& module, const QuantizerConfig& config) {
  MC_CHECK(config.quantization_begin == 0,
           "convert_model_for_qat quantizes from the first step on; to begin at step {}, use Quantizer",
           config.quantization_begin);
  ModuleOptions module_options;
  module_options.device = module.device();
  auto copy = std::make_shared<GraphModule>(module.graph(), module_options);
  Quantizer(*copy, config).quantize();
  return copy;
}

}  // namespace mc
