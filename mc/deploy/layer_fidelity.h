// Fidelity of the values inside two models, computed by our own executor.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mc/deploy/compare.h"
#include "mc/module/graph_module.h"

namespace mc {

// Values correspond when they have the same name, or when the node that makes one stands for the node that
// makes the other (provenance, kSources). Constants and values that are not float are left out.
class LayerFidelity {
 public:
  // Throws Error when no value of one model has a counterpart in the other.
  LayerFidelity(const std::filesystem::path& reference, const std::filesystem::path& other,
                const std::string& device);

  void add(const std::vector<at::Tensor>& inputs);
  std::vector<OutputComparison> results() const;  // in the reference's order

 private:
  GraphModule reference_;
  GraphModule other_;
  std::map<std::string, std::string> counterpart_;  // value of `other_` -> value of `reference_`
  std::vector<std::string> order_;
  std::map<std::string, Fidelity> fidelities_;
};

OutputComparison summarize(const std::string& name, const Fidelity& fidelity);

}  // namespace mc
