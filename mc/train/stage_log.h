// What a stage says while it runs: progress with figures, and lines for metrics.jsonl.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/log.h"
#include "mc/train/method.h"
#include "mc/train/trainer.h"

namespace mc {

class StageLog {
 public:
  StageLog(std::string stage, const TrainOptions& options, int64_t batches_per_epoch,
           const std::vector<std::shared_ptr<Method>>& methods, const MetricsSink& sink);

  void start_epoch(int64_t epoch, int64_t first_batch);
  // After each step; `loss` is called only where a line is due, as it may wait for the device.
  void step(const StepContext& context, const std::function<double()>& loss);
  void end_epoch(const EpochResult& result, int64_t step, bool measured);
  void set_metric(double value) { metric_ = value; }
  void stop() { progress_.reset(); }  // ends a progress that is still shown

  static constexpr int64_t kInterval = 20;  // steps between two lines

 private:
  std::string note(const StepContext& context) const;

  std::string stage_;
  const TrainOptions& options_;
  int64_t batches_per_epoch_;
  const std::vector<std::shared_ptr<Method>>& methods_;
  const MetricsSink& sink_;
  std::unique_ptr<Progress> progress_;
  int64_t first_batch_ = 0;
  int64_t first_step_ = -1;  // of this run of the stage
  std::chrono::steady_clock::time_point start_;
  double loss_ = 0;
  std::optional<double> metric_;  // of the last evaluation
  std::string figures_;           // the methods', as text
};

}  // namespace mc
