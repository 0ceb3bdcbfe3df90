// GraphModule's inside; shared by the files that implement it. Internal.
#pragma once

#include <atomic>
#include <mutex>

#include "mc/module/apply_mask.h"
#include "mc/module/compiled.h"

namespace mc {

struct GraphModule::Impl {
  ModuleOptions options;
  Compiled compiled;
  std::vector<StateCarrier*> carriers;
  std::vector<MaskedTensor> masked;  // of compiled.state
  uint64_t seed = 0;
  uint64_t step = 0;
  bool onnx_training_mode = false;

  std::atomic<uint64_t> training_runs = 0;

  std::mutex inference_mutex;
  std::shared_ptr<const Plan> inference;
  uint64_t inference_key = 0;  // of the values that it was made from, or that were seen last

  // What a run is told; counts the runs in training.
  RunContext context(bool training);

  // Changes whenever a value of the state does.
  uint64_t state_key() const;
  // The plan for eval() without gradients: the folded one from the second run with the same values on.
  std::shared_ptr<const Plan> plan_for_inference();
  void drop_inference();

  const at::Tensor& find_state(const std::string& name) const;  // throws Error with the nearest name
};

}  // namespace mc
