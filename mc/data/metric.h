// A metric of a model over labelled data: top1, top5, mse, f1 (macro).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/data/loader.h"

namespace mc {

// Accumulates predictions against labels; value() at any time.
class Metric {
 public:
  virtual ~Metric() = default;
  virtual std::string name() const = 0;
  virtual bool larger_is_better() const = 0;
  virtual void add(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) = 0;
  virtual double value() const = 0;
};

// Throws Error with the nearest name.
std::unique_ptr<Metric> make_metric(const std::string& name);
std::vector<std::string> metric_names();
// Whether labels are classes, one for each column of output 0.
bool counts_classes(const std::string& metric);

struct Evaluation {
  std::string metric;
  double value = 0;
  int64_t samples = 0;
  at::Tensor predictions;  // int64 [samples]: index of the largest value of output 0, when it has classes
};

// Runs every batch of `loader` through `infer`. Throws Error when the data has no labels, or one
// beyond the classes that output 0 has (check_labels).
using InferFunction = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;
Evaluation evaluate(const InferFunction& infer, Loader& loader, const std::string& metric,
                    const std::string& title = "evaluate");

}  // namespace mc
