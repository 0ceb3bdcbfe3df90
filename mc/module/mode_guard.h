// Training or evaluation for a while.
#pragma once

#include "mc/module/graph_module.h"

namespace mc {

// Leaves the module in the mode in which it was found, whatever happens in between.
class ModeGuard {
 public:
  explicit ModeGuard(GraphModule& module) : module_(module), training_(module.is_training()) {}
  // Sets the mode for as long as the guard lives.
  ModeGuard(GraphModule& module, bool training) : ModeGuard(module) { module_.train(training); }
  ~ModeGuard() { module_.train(training_); }
  ModeGuard(const ModeGuard&) = delete;
  ModeGuard& operator=(const ModeGuard&) = delete;

 private:
  GraphModule& module_;
  bool training_;
};

}  // namespace mc
