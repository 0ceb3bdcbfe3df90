#include "mc/train/snapshot.h"

#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

// Structure changes rarely and values always: keeping them apart keeps a checkpoint small and exact.
std::string structure_text(Model model, const std::map<std::string, at::Tensor>& values) {
  for (const auto& [name, tensor] : values) {
    Initializer* initializer = model.graph.initializer(name);
    if (!initializer) continue;
    initializer->tensor.dims = {0};
    initializer->tensor.data = {};
  }
  return print(model, /*full=*/true);
}

Model parse_structure(const Snapshot& snapshot) {
  Model model = parse_model(snapshot.structure);
  for (const auto& [name, tensor] : snapshot.tensors) {
    Initializer* initializer = model.graph.initializer(name);
    if (!initializer) continue;
    Tensor value = to_constant(tensor.detach().cpu().contiguous());
    initializer->tensor.dims = std::move(value.dims);
    initializer->tensor.dtype = value.dtype;
    initializer->tensor.data = std::move(value.data);
  }
  return model;
}

}  // namespace

Snapshot take_snapshot(const GraphModule& module) {
  Snapshot snapshot{.structure = {}, .tensors = module.state()};
  snapshot.structure = structure_text(module.structure(), snapshot.tensors);
  return snapshot;
}

Snapshot detached(Snapshot snapshot) {
  at::NoGradGuard no_grad;
  for (auto& [name, tensor] : snapshot.tensors) tensor = tensor.detach().clone();
  return snapshot;
}

void restore_snapshot(GraphModule& module, const Snapshot& snapshot) {
  with_context([] { return "the saved model"; },
               [&] {
                 if (take_snapshot(module).structure != snapshot.structure) {
                   module.edit([&](Edit& edit) { edit.model = parse_structure(snapshot); });
                 }
                 module.load_state(snapshot.tensors);
               });
}

}  // namespace mc
