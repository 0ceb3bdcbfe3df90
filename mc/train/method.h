// What a training stage calls. A method (pruning, quantization, distillation) sees the module, its
// optimizer's parameters and each step, and is known to the loop only through this interface.
// Within a stage the order of methods is prune, quantize, distil.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/json.h"
#include "mc/data/loader.h"
#include "mc/module/graph_module.h"
#include "mc/train/loss.h"

namespace mc {

struct StageContext {
  GraphModule& module;
  Loader& loader;  // training batches of this stage
  int64_t epochs = 0;
  int64_t steps_per_epoch = 0;
  int64_t total_steps() const { return epochs * steps_per_epoch; }
  uint64_t seed = 0;
  LossFunction loss = {};  // the stage's own, before methods add to it
};

struct StepContext {
  GraphModule& module;
  const Batch& batch;
  int64_t step = 0;  // in this stage, from 0
  int64_t total_steps = 0;
  int64_t epoch = 0;
  double lr = 0;
  std::vector<at::Tensor> outputs;         // set after forward
  std::map<std::string, at::Tensor> taps;  // values that methods asked for
  // A method that replaces the weights in after_step() sets it: the optimizer forgets its moments then, which
  // are of the weights that were.
  bool restart_optimizer = false;
};

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  // Graph edits and preparation; called when the stage starts, also when it is resumed (`resumed`: the
  // module already has what begin() put into it, and load() follows).
  virtual void begin(StageContext&, bool resumed) { (void)resumed; }
  virtual std::vector<std::string> wanted_taps() const { return {}; }
  virtual void before_forward(StepContext&) {}
  // Gives the loss to go on with, from the loss so far (mean over the batch, a scalar).
  virtual at::Tensor loss(StepContext&, at::Tensor loss) { return loss; }
  virtual void after_backward(StepContext&) {}
  // The optimizer has moved the weights; masks are not applied yet.
  virtual void after_update(StepContext&) {}
  virtual void after_step(StepContext&) {}
  // After the last step, before the weights are measured that the stage ends with; again where it ends with
  // those of an earlier epoch. Doing so twice must not change more than once.
  virtual void end(StageContext&) {}
  // Figures for progress and metrics.jsonl, as of now (may synchronize; called seldom).
  virtual Json figures() const { return Json::object(); }
  // State beyond what the module holds, for checkpoints.
  virtual std::map<std::string, at::Tensor> save() const { return {}; }
  virtual void load(const std::map<std::string, at::Tensor>&) {}
};

}  // namespace mc
