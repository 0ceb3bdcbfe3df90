// How far a stage got and what it found so far; with the module, the optimizer and the methods this is
// all that a checkpoint holds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/module/graph_module.h"
#include "mc/train/checkpoint.h"
#include "mc/train/loss_meter.h"
#include "mc/train/method.h"
#include "mc/train/optimizer.h"
#include "mc/train/snapshot.h"
#include "mc/train/trainer.h"

namespace mc {

struct StageState {
  int64_t epoch = 0;         // the current one
  int64_t batch = 0;         // the next batch of it
  int64_t step = 0;          // steps done in the stage
  LossMeter::Totals loss;    // of the current epoch
  double epoch_seconds = 0;  // spent in the current epoch
  double seconds = 0;        // spent in the stage
  std::vector<EpochResult> epochs;
  struct Best {
    int64_t epoch = 0;
    double metric = 0;
    std::optional<Snapshot> snapshot;  // only where the stage may end with it
  };
  std::optional<Best> best;
};

// What must be equal for a checkpoint to continue bit for bit.
Json stage_settings(const TrainOptions& options, int64_t batches_per_epoch,
                    const std::vector<std::shared_ptr<Method>>& methods);

Checkpoint make_stage_checkpoint(const std::string& name, const Json& settings, const StageState& state,
                                 const GraphModule& module, const Optimizer& optimizer,
                                 const std::vector<std::shared_ptr<Method>>& methods);

// A checkpoint on its way back. The module comes first, then the methods begin and the optimizer is made,
// then these get their state.
class StageResumption {
 public:
  // Throws Error when the checkpoint was made with other settings (naming one) or is broken.
  StageResumption(Checkpoint checkpoint, const Json& settings);

  static bool is_of(const Checkpoint& checkpoint, const std::string& stage);

  StageState state() const;
  void restore_module(GraphModule& module) const;
  void restore_rest(Optimizer& optimizer, const std::vector<std::shared_ptr<Method>>& methods) const;

 private:
  Checkpoint checkpoint_;
};

}  // namespace mc
