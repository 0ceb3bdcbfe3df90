#include "mc/recipe/conversion.h"

#include "mc/quantize/check_float.h"
#include "mc/quantize/keep_float.h"
#include "mc/quantize/matrix_layers.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

WeightOnlyOptions weight_options(const WeightsMode& mode) {
  WeightOnlyOptions options;
  options.method = mode.method;
  options.bits = mode.bits;
  options.block = mode.block;
  options.format = mode.format;
  options.symmetric = mode.symmetric;
  options.embeddings = mode.embeddings;
  options.act_order = mode.act_order;
  options.damping = mode.damping;
  return options;
}

void apply(const WeightsMode& mode, QuantizeModeOptions& how) {
  how.weights = weight_options(mode);
  how.method = mode.method;
  how.weight_bits = mode.bits;
  how.quantize.samples = mode.samples;
}

void apply(const DynamicMode& mode, QuantizeModeOptions& how) {
  how.reduce_range = mode.reduce_range;
}

void apply(const Fp16Mode& mode, QuantizeModeOptions& how) {
  how.convert_io = mode.convert_io;
}

void apply(const Float8Mode& mode, QuantizeModeOptions& how) {
  how.method = mode.calibrator;
  how.quantize.percentile = mode.percentile;
  how.quantize.samples = mode.samples;
}

}  // namespace

void WeightsMode::check() const {
  check_weight_only(weight_options(*this));
}

QuantizeModeOptions quantize_mode_options(const ConversionOptions& options) {
  QuantizeModeOptions how;
  how.quantize.target = options.target;
  how.quantize.keep_float = options.keep_float;
  std::visit(
      [&](const auto& mode) {
        how.mode = mode.kName;
        apply(mode, how);
      },
      options.mode);
  return how;
}

void check_conversion(Model model, const ConversionOptions& options) {
  check_float(model.graph);
  apply_passes(model, inference_passes());
  const auto* weights = std::get_if<WeightsMode>(&options.mode);
  if (weights || std::holds_alternative<DynamicMode>(options.mode)) {
    find_matrix_layers(model, options.keep_float, weights && weights->embeddings);
  } else {
    check_patterns(model.graph, "keep_float", options.keep_float);
  }
}

ModeResult run_conversion(const Model& model, std::shared_ptr<const Dataset> training,
                          const Normalization& normalization, const ConversionOptions& options) {
  return run_quantize_mode(model, std::move(training), normalization, quantize_mode_options(options));
}

}  // namespace mc
