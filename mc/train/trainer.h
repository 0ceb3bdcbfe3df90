// One training stage of a GraphModule: epochs over a loader, a loss, an optimizer, a schedule, and the
// methods that act in it. Writes checkpoints from which it resumes bit for bit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/data/loader.h"
#include "mc/data/metric.h"
#include "mc/module/graph_module.h"
#include "mc/train/method.h"
#include "mc/train/optimizer.h"
#include "mc/train/schedule.h"

namespace mc {

struct TrainOptions {
  int64_t epochs = 1;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  std::string loss = "cross_entropy";  // cross_entropy | mse | none (methods give the whole loss)
  double label_smoothing = 0;
  double gradient_clip = 0;       // largest total norm; 0: none
  std::string precision = "f32";  // f32 | bf16 (autocast of convolutions and matrix products)
  std::string metric = "top1";
  std::string select = "last";  // last | best: which epoch's weights the stage ends with
  uint64_t seed = 0;
};

// Something worth a line in metrics.jsonl. Every 20 steps {"stage", "epoch", "step", "loss" (mean since the
// last line), "lr"}; at the end of an epoch {"stage", "epoch", "step" (steps done), "train_loss", "metric"
// and "metric_name" where there is evaluation data, "seconds"}. Epochs and steps count from 0. Both have
// the figures of each method under its name.
using MetricsSink = std::function<void(const Json&)>;

struct StageFiles {
  std::filesystem::path checkpoint;  // folder; empty: no checkpoints
  std::filesystem::path best;  // .onnx of the best epoch so far (the newest, without evaluation); empty: none
  double checkpoint_seconds = 60;  // at least this long between two checkpoints within an epoch
};

struct EpochResult {
  int64_t epoch = 0;
  double train_loss = 0;
  double metric = 0;
  double seconds = 0;
};

struct StageResult {
  std::vector<EpochResult> epochs;
  double metric = 0;  // on the evaluation data, of the weights that the stage ends with
  double seconds = 0;
  int64_t steps = 0;
};

// Runs the stage. `evaluation` (may be null) is measured in float32 after each epoch. Resumes from
// files.checkpoint when a checkpoint of `name` is there and `resume`: the module, its structure included,
// becomes what it was. The module ends in the mode (training or not) in which it came.
// A step: methods' before_forward, forward, loss, methods' loss, backward, after_backward, clipping,
// optimizer, masks, after_step.
// Throws Error: options that do not fit, files that cannot be written, a checkpoint of other settings, a loss
// that is not finite (with the step since which; with select: best the module has its best weights again),
// interrupted (kInterrupted; checkpoint written). A checkpoint that cannot be written later on is a warning.
StageResult train_stage(const std::string& name, GraphModule& module, Loader& loader, Loader* evaluation,
                        const std::vector<std::shared_ptr<Method>>& methods, const TrainOptions& options,
                        const StageFiles& files, const MetricsSink& metrics, bool resume);

}  // namespace mc
