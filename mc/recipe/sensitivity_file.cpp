#include "mc/recipe/sensitivity_file.h"

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/onnx/onnx.h"
#include "mc/recipe/model_data.h"
#include "mc/report/quantize_page.h"
#include "mc/search/build.h"

namespace mc {

SensitivityFileReport sensitivity_of_file(const SensitivityFileOptions& options) {
  SensitivityFileReport report;
  report.options = options;
  const Model model = read_onnx(options.model);
  with_context([&] { return options.model.string(); },
               [&] {
                 const auto samples = open_training_data(model, options.data);
                 report.data = samples->description();
                 report.random_data = samples->random();
                 const Normalization normalization = normalization_of(model, *samples);
                 const auto module = calibrated_module(model, samples, normalization, options.quantize);
                 const std::vector<Batch> batches =
                     some_batches(samples, normalization, options.measured_samples, model.graph);
                 report.layers = sensitivity(*module, batches);
                 measure_bits(*module, batches, options.bits, report.layers);
               });
  if (!options.page.empty()) write_file_atomic(options.page, quantize_page(to_json(report)));
  return report;
}

Json to_json(const SensitivityFileReport& report) {
  return {{"schema", "model-compression/sensitivity/1"},
          {"model", report.options.model.string()},
          {"target", report.options.quantize.target},
          {"weight_bits", report.options.quantize.weight_bits},
          {"samples", report.options.measured_samples},
          {"sensitivity", to_json(report.layers)},
          {"data", report.data},
          {"random_data", report.random_data}};
}

}  // namespace mc
