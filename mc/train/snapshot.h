// A module's whole state, structure included, as text and tensors that a checkpoint can hold.
#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/module/graph_module.h"

namespace mc {

struct Snapshot {
  std::string structure;  // the model in text form; initializers that stand in `tensors` are empty in it
  std::map<std::string, at::Tensor> tensors;  // by initializer name
};

// The tensors share storage with the module; `detached(...)` of it does not.
Snapshot take_snapshot(const GraphModule& module);
Snapshot detached(Snapshot snapshot);

// Makes `module` what it was: its structure is rewritten (attached optimizers follow) and its values are
// copied. Throws Error when the text or the tensors do not fit each other.
void restore_snapshot(GraphModule& module, const Snapshot& snapshot);

}  // namespace mc
