// What a candidate is measured by: the metric and the outputs of its file, as the engine that it is for
// computes them, beside the float model's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/json.h"
#include "mc/data/dataset.h"
#include "mc/data/metric.h"
#include "mc/data/transform.h"

namespace mc {

// What the result must keep. With neither, any result does.
struct Goal {
  std::optional<double> accuracy_drop;  // largest drop of the metric, absolute: 0.01 is one point
  std::optional<double> min_snr_db;     // smallest SNR of any output against the float model's
  std::string metric;  // of metric_names(), or "command:..."; empty: top1 of classes, mse of numbers
};

struct Judgement {
  std::optional<double> metric;  // where the data has labels or a command was given
  double snr_db = 0;             // smallest of all outputs
  double top1_agreement = 0;
  uint64_t bytes = 0;  // of the file, external data included
};
Json to_json(const Judgement& judgement);
Judgement judgement_from_json(const Json& json);  // Error where a key is missing

struct JudgeData {
  std::shared_ptr<const Dataset> test;  // fields in the order of the model's inputs
  Normalization normalization;
  int64_t batch_size = 32;
};

class Judge {
 public:
  // Measures the reference at once. Throws Error: an engine that is not there, an accuracy drop without
  // labels (and without a command), a model that the engine cannot run.
  Judge(std::filesystem::path reference, JudgeData data, std::string engine, Goal goal);

  Judgement judge(const std::filesystem::path& model) const;
  const Judgement& reference() const { return reference_judgement_; }
  const std::string& metric() const { return metric_; }  // empty: none is measured
  const std::string& engine() const { return engine_; }

  // By how much it misses the goal, each part divided by what the goal allows; 0 or less: it holds. Without a
  // goal the negative SNR, so that less is better all the same.
  double shortfall(const Judgement& judgement) const;
  bool holds(const Judgement& judgement) const { return !has_goal() || shortfall(judgement) <= 1e-9; }
  bool has_goal() const { return goal_.accuracy_drop || goal_.min_snr_db; }

 private:
  std::unique_ptr<Metric> new_metric() const;
  double reference_metric();
  double drop(const Judgement& judgement) const;

  std::filesystem::path reference_;
  JudgeData data_;
  std::string engine_;
  Goal goal_;
  std::string metric_;
  bool larger_is_better_ = true;
  std::vector<std::string> output_names_;
  Judgement reference_judgement_;
};

}  // namespace mc
