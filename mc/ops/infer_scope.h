// What shape inference knows of values, by name; a subgraph's scope sees the ones around it.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct Op;

struct Value {
  Type type;
  std::optional<Tensor> constant;  // its value, where known
  std::optional<Shape> elements;   // of a small integer tensor: its elements as dims, symbols included
};

class Scope {
 public:
  explicit Scope(const Scope* outer = nullptr) : outer_(outer) {}

  const Value* find(const std::string& name) const {
    const auto found = values_.find(name);
    if (found != values_.end()) return &found->second;
    return outer_ ? outer_->find(name) : nullptr;
  }
  Value* find_own(const std::string& name) {  // not those around it
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
  }
  void set(const std::string& name, Value value) {
    if (!name.empty()) values_[name] = std::move(value);
  }

 private:
  const Scope* outer_;
  std::unordered_map<std::string, Value> values_;
};

// `inferred`, with what it leaves open taken from `declared`.
Type refine(Type inferred, const Type& declared);

// The value of the node's outputs when all its inputs are small constants, found by running its kernel;
// nullopt when they are not, or the kernel refuses them. `outputs` are the inferred types.
std::optional<std::vector<Tensor>> fold_node(const Op& op, const Node& node, int64_t opset,
                                             const Scope& scope, const std::vector<Type>& outputs);

}  // namespace mc
