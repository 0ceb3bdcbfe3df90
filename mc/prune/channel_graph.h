// The dependency graph itself: the values of a model with their axes, joined by the rules of the operators.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/prune/axis_classes.h"

namespace mc {

struct ChannelValue {
  std::string name;
  std::vector<int64_t> dims;         // -1: unknown; below: the same number stands for the same symbol
  AxisId first = kNoAxis;            // its axes are first, first + 1, ...
  bool ranked = false;               // dims are known, as far as they are
  const Tensor* constant = nullptr;  // of an initializer or a Constant node
  bool initializer = false;
  int32_t producer = -1;  // node
  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
};

// How an operator uses an axis of a constant.
enum ChannelUse : uint8_t {
  kProduces = 1,  // its rows make channels
  kConsumes = 2,  // its columns read them
  kMaskable = 4,  // zeros there silence a channel
};

class ChannelGraph {
 public:
  // The model with known types, in which what inference knows of shapes stands in constants: all that follows
  // is about such a model, `prepare`d once. Throws Error as infer_shapes does.
  static Model prepare(Model model);
  explicit ChannelGraph(const Model& prepared);  // which must live as long

  const Model& model() const { return model_; }
  const AxisClasses& classes() const { return classes_; }
  const std::vector<ChannelValue>& values() const { return values_; }
  const ChannelValue* value(const std::string& name) const;  // of the outermost graph; null when unknown
  uint8_t uses(AxisId axis) const { return uses_[axis]; }
  // Of constants, a number that grows with the order in which the nodes first read them.
  int32_t first_use(AxisId axis) const { return first_use_[axis]; }
  std::string describe(FixReason reason) const;
  std::string describe_inexact(int32_t node) const;

 private:
  friend class ChannelPorts;
  struct Reason {
    enum Kind { kNode, kFactor, kInput, kOutput } kind = kNode;
    int32_t node = -1;
    int32_t value = -1;
    int32_t axis = -1;
  };
  struct Choice {
    size_t option = 0;
    size_t options = 0;
    size_t moves = 0;
    bool splits = false;
    std::vector<AxisId> watched;
  };

  int32_t add_value(const std::string& name, const std::vector<int64_t>* dims);
  void add_values();
  void join_nodes();
  void join_node(size_t index);
  void fix_value(const std::string& name, Reason reason);
  bool improve_choices();
  FixReason reason(Reason reason);

  const Model& model_;
  std::vector<ChannelValue> values_;
  std::unordered_map<std::string, int32_t> by_name_;
  AxisClasses classes_;
  std::vector<uint8_t> uses_;
  std::vector<int32_t> first_use_;
  int32_t next_use_ = 0;
  std::vector<Reason> reasons_;
  std::unordered_map<size_t, Choice> choices_;  // by node
  std::vector<uint32_t> touched_;               // by axis: the last node that spoke of it, plus one
  uint32_t touch_ = 0;
};

}  // namespace mc
