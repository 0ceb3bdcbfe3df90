// Post-training quantization (PTQ): the ranges of activations come from samples that run through the float
// model, once, whatever calibrator turns them into ranges. Memory does not depend on the number of samples.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/data/loader.h"
#include "mc/data/transform.h"
#include "mc/module/graph_module.h"
#include "mc/quantize/calibrators.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct ActivationStatistics {
  std::map<std::string, ValueStatistics> values;  // by the output of each activation's FakeQuantize
  int64_t samples = 0;
};

struct CollectOptions {
  bool histograms = true;   // what most calibrators need
  double averaging = 0.01;  // see ValueStatistics::add
  int64_t total = 0;        // samples that are expected, for the progress; 0: unknown
};

// The next batch, inputs in the order of the module's; nothing at the end. Shapes may differ between batches.
using NextBatch = std::function<std::optional<Batch>()>;

// Runs the batches through a module that prepare_qat prepared, in float and with running batch-norm
// statistics, and gathers what every activation to be quantized held. Throws Error: no batch or no element,
// a module that is not prepared, NaN or infinity (naming value, node and sample), kInterrupted.
ActivationStatistics collect_statistics(GraphModule& prepared, const NextBatch& next,
                                        const CollectOptions& options = {});

// Sets ranges, scales and zero points of activations by the calibrator, and those of weights from their
// values; from then on the module quantizes and observes no more. Throws Error when the statistics lack a
// value of the module, or the histograms that the calibrator needs.
void set_ranges(GraphModule& prepared, const ActivationStatistics& statistics, const std::string& calibrator,
                const CalibratorOptions& options = {});

// How samples are read to calibrate a module: some at once where their shapes and the module allow it, one by
// one else. Throws Error when there are fewer samples than the batch that the module insists on.
LoaderOptions calibration_loading(const GraphModule& module, const Dataset& dataset,
                                  const Normalization& normalization);

// Both, over `samples` of the options spread over the dataset, whose fields are in the order of the module's
// inputs. Samples whose shapes vary are run one by one; a module of a fixed batch gets full ones.
ActivationStatistics calibrate(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                               const Normalization& normalization, const QuantizeOptions& options);

// A trained float model as an integer one: its inference form, prepared, calibrated, converted.
struct QuantizedModel {
  Model model;
  std::vector<LayerQuantization> layers;
  int64_t samples = 0;
};
QuantizedModel quantize_ptq(const Model& model, std::shared_ptr<const Dataset> dataset,
                            const Normalization& normalization, const QuantizeOptions& options);

}  // namespace mc
