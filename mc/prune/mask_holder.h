// Where the masks of a module live: a GraphModule holds its own, so that they reach checkpoints, export and
// later stages; of a plain module they are held here. Internal.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "mc/module/graph_module.h"

namespace mc {

class MaskHolder {
 public:
  // Of these parameters, by the names that parameter_views() gives.
  MaskHolder(torch::nn::Module& module, const std::vector<std::string>& names);

  size_t size() const { return places_.size(); }
  bool in_module() const { return graph_ != nullptr; }
  at::Tensor weight(size_t i) const;  // the live parameter
  at::Tensor mask(size_t i) const;    // undefined where there is none
  void set_mask(size_t i, at::Tensor mask);
  size_t masks() const;  // of the whole module
  void apply();          // multiplies the weights
  void drop();           // forgets the masks; weights stay as they are

 private:
  struct Place {
    std::string name;
    at::Tensor parameter;  // of a plain module; a GraphModule's is looked up, since edits replace it
    at::Tensor mask;
  };
  GraphModule* graph_;
  std::vector<Place> places_;
};

}  // namespace mc
