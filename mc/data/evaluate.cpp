#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/data/labels.h"
#include "mc/data/metric.h"

namespace mc {

Evaluation evaluate(const InferFunction& infer, Loader& loader, const std::string& metric,
                    const std::string& title) {
  const Dataset& dataset = loader.dataset();
  MC_CHECK(dataset.labelled(), "{} cannot be evaluated by {}: it has no labels", dataset.description(),
           metric);
  at::NoGradGuard no_grad;
  const std::unique_ptr<Metric> measure = make_metric(metric);
  Progress progress(title, loader.samples());
  Evaluation result;
  std::vector<at::Tensor> predictions;
  loader.start(0);
  while (std::optional<Batch> batch = loader.next()) {
    const std::vector<at::Tensor> outputs = infer(batch->inputs);
    MC_CHECK(!outputs.empty(), "the model has no output to measure");
    if (result.samples == 0 && counts_classes(metric) && outputs[0].dim() == 2) {
      check_labels(dataset, outputs[0].size(1));
    }
    measure->add(outputs, batch->labels.to(outputs[0].device()));
    const bool has_classes = outputs[0].dim() == 2 && batch->labels.scalar_type() == at::kLong;
    if (has_classes) predictions.push_back(outputs[0].argmax(1));
    result.samples += batch->size();
    if (progress.due()) progress.update(result.samples, fmt::format("{} {:.4f}", metric, measure->value()));
  }
  progress.update(result.samples);
  result.metric = metric;
  result.value = measure->value();
  if (!predictions.empty()) result.predictions = at::cat(predictions).cpu();
  return result;
}

}  // namespace mc
