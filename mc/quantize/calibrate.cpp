#include "mc/quantize/calibrate.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/data/loader.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

// Enough to keep the cores busy; more would only take more memory.
constexpr int64_t kBatch = 8;

// The batch that the model insists on, or 0.
int64_t fixed_calibration_batch(const Graph& graph) {
  for (const ValueInfo* input : graph.real_inputs()) {
    const Type& type = input->type;
    if (type.is_tensor() && type.shape && !type.shape->empty() && type.shape->front().known()) {
      return type.shape->front().value;
    }
  }
  return 0;
}

bool shapes_vary(const Dataset& dataset) {
  for (const FieldInfo& field : dataset.fields()) {
    if (std::find(field.shape.begin(), field.shape.end(), -1) != field.shape.end()) return true;
  }
  return false;
}

}  // namespace

LoaderOptions calibration_loading(const GraphModule& module, const Dataset& dataset,
                                  const Normalization& normalization) {
  LoaderOptions options;
  options.normalization = normalization;
  options.device = module.device();
  options.batch_size = shapes_vary(dataset) ? 1 : kBatch;
  options.ahead = 2;
  if (const int64_t fixed = fixed_calibration_batch(module.structure().graph)) {
    MC_CHECK(dataset.size() >= fixed, "calibrate: the model's batch is fixed to {}, there are {} samples",
             fixed, dataset.size());
    options.batch_size = fixed;
    options.drop_last = true;
  }
  return options;
}

ActivationStatistics calibrate(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                               const Normalization& normalization, const QuantizeOptions& options) {
  const Calibrator& calibrator = find_calibrator(options.calibrator);
  dataset = spread(std::move(dataset), options.samples > 0 ? options.samples : -1);
  MC_CHECK(dataset->size() > 0, "calibrate: the data has no samples");
  Loader loader(dataset, calibration_loading(prepared, *dataset, normalization));
  loader.start(0);
  const ActivationStatistics statistics = collect_statistics(prepared, [&] { return loader.next(); },
                                                             {.histograms = calibrator.needs_histogram,
                                                              .averaging = options.averaging_constant,
                                                              .total = loader.samples()});
  set_ranges(prepared, statistics, options.calibrator, {.percentile = options.percentile});
  return statistics;
}

QuantizedModel quantize_ptq(const Model& model, std::shared_ptr<const Dataset> dataset,
                            const Normalization& normalization, const QuantizeOptions& options) {
  QuantizedModel result;
  Model prepared = model;
  apply_passes(prepared, inference_passes());
  result.layers = prepare_qat(prepared, options);
  GraphModule module(std::move(prepared));
  result.samples = calibrate(module, std::move(dataset), normalization, options).samples;
  result.model = convert(module, options);
  return result;
}

}  // namespace mc
