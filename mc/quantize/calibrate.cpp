#include "mc/quantize/calibrate.h"

#include "mc/quantize/bias_correction.h"
#include "mc/quantize/equalize.h"
#include "mc/quantize/learn_rounding.h"
#include "mc/quantize/smooth.h"
#include "mc/rewrite/pass.h"

namespace mc {

ActivationStatistics calibrate(GraphModule& prepared, const Samples& samples,
                               const QuantizeOptions& options) {
  const Calibrator& calibrator = find_calibrator(options.calibrator);
  const ActivationStatistics statistics = collect_statistics(prepared, samples.pass(),
                                                             {.histograms = calibrator.needs_histogram,
                                                              .averaging = options.averaging_constant,
                                                              .total = samples.count});
  set_ranges(prepared, statistics, options.calibrator, {.percentile = options.percentile});
  return statistics;
}

ActivationStatistics calibrate(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                               const Normalization& normalization, const QuantizeOptions& options) {
  ActivationStatistics statistics =
      calibrate(prepared,
                calibration_samples(dataset, normalization, options.samples, prepared.structure().graph,
                                    prepared.device()),
                options);
  round_weights(prepared, dataset, normalization, options);
  return statistics;
}

PtqModule quantize_module(Model model, const std::shared_ptr<const Dataset>& dataset,
                          const Normalization& normalization, const QuantizeOptions& options,
                          const ModuleOptions& module_options) {
  PtqModule result;
  const Samples samples =
      calibration_samples(dataset, normalization, options.samples, model.graph, module_options.device);
  if (options.equalize) {
    result.steps.push_back({"equalize", equalize(model, samples, module_options)});
  }
  if (options.smooth > 0) {
    const SmoothReport report = smooth(model, samples, options, module_options);
    result.steps.push_back({"smooth", report.absorbed + report.scaled});
  }
  QuantizeOptions calibrated = options;
  calibrated.mode = "ptq";  // no scale is learned
  result.layers = prepare_qat(model, calibrated);
  result.module = std::make_shared<GraphModule>(std::move(model), module_options);
  result.samples = calibrate(*result.module, samples, options).samples;
  round_weights(*result.module, dataset, normalization, options);
  if (options.bias_correction != "none") {
    result.steps.push_back(
        {"bias_correction", correct_biases(*result.module, samples, options.bias_correction)});
  }
  return result;
}

QuantizedModel quantize_ptq(const Model& model, std::shared_ptr<const Dataset> dataset,
                            const Normalization& normalization, const QuantizeOptions& options) {
  Model inference = model;
  apply_passes(inference, inference_passes());
  PtqModule quantized = quantize_module(std::move(inference), dataset, normalization, options);
  return {convert(*quantized.module, options), std::move(quantized.layers), std::move(quantized.steps),
          quantized.samples};
}

}  // namespace mc
