// The tensors of a GraphModule by initializer name and role, and what an edit does to them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/ops/op.h"

namespace mc {

// The role of every initializer of the model's graph and what was done to make the roles consistent.
struct Roles {
  std::map<std::string, Role> of;
  struct Untied {
    std::string copy;    // the new initializer
    std::string source;  // the one that the exporter shared through Identity
    std::string why;
  };
  std::vector<Untied> untied;
};

// Derives the roles (docs/design.md, "Roles"): an initializer is a weight only if it reaches a weight
// port, directly or through view-like operators; an initializer added to the output of a linear
// operator, or scaling and shifting a decomposed normalization, is one too; running statistics,
// masks (kMaskOf) and quantization state have roles of their own; all else is constant. Copies that an
// exporter deduplicated through Identity are untied in `model`: where their roles differ, and where the
// same role is reached through Identity copies only. Weights in Constant nodes are lifted. `overrides`
// (initializer name or glob -> role) win.
Roles assign_roles(Model& model, const std::vector<std::pair<std::string, Role>>& overrides = {});

// Some exporters write weights as Constant nodes. Those of floats in the outermost graph that reach a weight
// or statistic port of an operator, or hold one number for each channel of the layer that they are added to,
// become initializers of the same name; results of folding do not. Returns how many.
int lift_constants(Model& model);

// A piece of a parameter that an edit keeps: indices along one axis, in their new order.
struct Slice {
  int64_t axis = 0;
  std::vector<int64_t> indices;
};

// What an edit did to the state: carried over as it was, cut, gone, new. Names are the new ones;
// `renamed` maps new to old where they differ.
struct EditReport {
  std::map<std::string, std::vector<Slice>> sliced;
  std::map<std::string, std::string> renamed;
  std::vector<std::string> removed;
  std::vector<std::string> added;
  std::vector<std::string> reset;  // same name, other shape, no slice given: taken from the graph anew
};

// The view of a model that an edit gets: it may change `model` freely (weights in it are the module's
// current values) and tells here what becomes of the state.
struct Edit {
  Model& model;
  std::map<std::string, std::vector<Slice>> slices;  // initializer -> cuts, applied in order
  std::map<std::string, std::string> renames;        // new initializer name -> the module's one

  // Cuts `initializer` in the model to `indices` of `axis` (negative: from the end) and records it, so that
  // the parameter, its gradient state in optimizers and its mask follow. Throws Error for an unknown name,
  // axis or index.
  void slice(const std::string& initializer, int64_t axis, std::vector<int64_t> indices);

  // Gives `initializer` another name, everywhere in the model, and records it; its mask follows. Throws Error
  // for an unknown name and one that is taken.
  void rename(const std::string& initializer, const std::string& fresh);
};

// Whatever keeps tensors shaped like parameters (an optimizer's moments) follows edits through this. It is
// called when the edit is done, and should not throw; cut and reset parameters are other tensors from then
// on, all others (renamed ones too) are the same objects as before.
class StateCarrier {
 public:
  virtual ~StateCarrier() = default;
  virtual void on_edit(const EditReport& report) = 0;
};

// The same cut for any tensor shaped like the parameter.
at::Tensor apply_slices(const at::Tensor& tensor, const std::vector<Slice>& slices);

}  // namespace mc
