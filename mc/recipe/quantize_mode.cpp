#include "mc/recipe/quantize_mode.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/dynamic.h"
#include "mc/quantize/float8.h"

namespace mc {
namespace {

bool calibrates(const std::string& mode) {
  return mode == "ptq" || mode == "float8";
}

WeightOnlyOptions weights_of(const QuantizeModeOptions& options) {
  WeightOnlyOptions result = options.weights;
  result.target = options.quantize.target;
  result.keep_float = options.quantize.keep_float;
  result.samples = options.quantize.samples;
  result.method = mode_method(options);
  result.bits = options.weight_bits.value_or(result.bits);
  return result;
}

ModeResult from(QuantizedModel result) {
  return {std::move(result.model), std::move(result.layers), std::move(result.steps), {}, result.samples};
}

}  // namespace

const std::vector<std::string>& quantize_modes() {
  static const std::vector<std::string> modes = {"ptq", "weights", "dynamic", "fp16", "bf16", "float8"};
  return modes;
}

std::string mode_method(const QuantizeModeOptions& options) {
  if (!options.method.empty()) return options.method;
  if (calibrates(options.mode)) return options.quantize.calibrator;
  return options.mode == "weights" ? options.weights.method : "";
}

QuantizeOptions calibration_of(const QuantizeModeOptions& options) {
  QuantizeOptions result = options.quantize;
  result.mode = "ptq";
  result.calibrator = mode_method(options);
  result.weight_bits = options.weight_bits.value_or(8);
  return result;
}

std::string mode_type(const QuantizeModeOptions& options) {
  if (options.mode == "fp16") return "float16";
  if (options.mode == "bf16") return "bfloat16";
  if (options.mode == "float8") return "float8e4m3fn";
  if (options.mode == "weights") return fmt::format("int{}", weights_of(options).bits);
  return "int8";
}

std::string mode_engine_note(const std::string& mode) {
  if (mode == "bf16") return "engines on CPUs run bfloat16 nodes in part only";
  if (mode == "float8") return "float8 is for GPUs";
  return "";
}

void check_quantize_mode(const QuantizeModeOptions& options, bool has_data) {
  const std::string &mode = options.mode, method = mode_method(options);
  const auto& modes = quantize_modes();
  MC_CHECK(std::ranges::find(modes, mode) != modes.end(), "unknown mode '{}'{}; known: {}", mode,
           did_you_mean(mode, modes), join(modes, ", "));
  if (calibrates(mode)) find_calibrator(method);
  if (mode == "weights") {
    const auto& known = weight_methods();
    MC_CHECK(std::ranges::find(known, method) != known.end(), "mode weights has no method '{}'{}; it has {}",
             method, did_you_mean(method, known), join(known, ", "));
  }
  MC_CHECK(calibrates(mode) || mode == "weights" || method.empty(), "mode {} has no method; leave '{}' out",
           mode, method);
  MC_CHECK(mode == "ptq" || mode == "weights" || !options.weight_bits,
           "mode {} has weights of one size only; leave the bits out", mode);
  const bool needs_data = calibrates(mode) || (mode == "weights" && weight_method_needs_data(method));
  MC_CHECK(has_data || !needs_data, "mode {} by {} needs samples; give --data", mode, method);
}

ModeResult run_quantize_mode(const Model& model, std::shared_ptr<const Dataset> dataset,
                             const Normalization& normalization, const QuantizeModeOptions& options) {
  check_quantize_mode(options, dataset != nullptr);
  if (options.mode == "ptq") {
    return from(quantize_ptq(model, std::move(dataset), normalization, calibration_of(options)));
  }
  if (options.mode == "float8") {
    return from(quantize_float8(model, std::move(dataset), normalization, calibration_of(options)));
  }
  if (options.mode == "weights") {
    WeightOnlyModel result = quantize_weights(model, std::move(dataset), normalization, weights_of(options));
    return {std::move(result.model), std::move(result.layers), {}, {}, result.samples};
  }
  if (options.mode == "dynamic") {
    DynamicModel result = quantize_dynamic(
        model, {.reduce_range = options.reduce_range, .keep_float = options.quantize.keep_float});
    return {std::move(result.model), std::move(result.layers), {}, {}, 0};
  }
  HalfModel result =
      convert_to_half(model, {.type = options.mode == "fp16" ? DType::kFloat16 : DType::kBFloat16,
                              .convert_io = options.convert_io,
                              .keep_float = options.quantize.keep_float});
  return {std::move(result.model), std::move(result.layers), {}, std::move(result.clamped), 0};
}

}  // namespace mc
