// What each operator does to channels. Axes of a node's inputs and outputs that its rule does not mention are
// needed whole; so are all axes of an operator without a rule, and that is always safe. A rule is a row of a
// family's table (channel_rules_FAMILY.cpp).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mc/prune/channel_graph.h"

namespace mc {

// What a rule sees of one node, and what it says of its axes. Axes count from the end where negative; one
// that does not exist is kNoAxis, and what is said of it fixes the other side.
class ChannelPorts {
 public:
  ChannelPorts(ChannelGraph& graph, size_t node, int64_t opset);

  const Node& node() const { return node_; }
  int64_t opset() const { return opset_; }
  const ChannelValue* in(size_t i) const;   // null when omitted, unknown or of unknown rank
  const ChannelValue* out(size_t i) const;  // likewise
  size_t inputs() const { return node_.inputs.size(); }
  size_t outputs() const { return node_.outputs.size(); }
  static AxisId axis(const ChannelValue* value, int64_t k);
  static int64_t dim(const ChannelValue* value, int64_t k);  // -1: unknown or not there

  // The integers of a constant input, or of the attribute that older opsets have in its place; nullopt where
  // they are not known. `given` tells whether there are any.
  std::optional<std::vector<int64_t>> ints(size_t input, std::string_view attribute = {}) const;
  bool given(size_t input, std::string_view attribute = {}) const;
  // Whether element `k` of the shape that the input gives can follow a cut of `axis`: it stands in a
  // constant, or is the dim of another value's axis, which is joined with this one then.
  std::optional<int64_t> number(size_t input, int64_t k) const;  // element k where it is one
  bool follows(size_t input, int64_t k, AxisId axis);

  void same(AxisId a, AxisId b);
  void link(AxisId a, AxisId b, const std::function<int64_t(int64_t)>& source);  // b's index to a's, or -1
  void leave(AxisId axis);    // neither joined nor needed whole
  void inexact(AxisId axis);  // joined, but the operator mixes the channels without weights for them
  void factor(AxisId axis);   // needed whole because of the choice that was made
  // All axes of a and b, which have the same dims.
  void same_axes(const ChannelValue* a, const ChannelValue* b);
  // Axes of `value` with those of `whole`, aligned at the end; where value has 1, they are left.
  void broadcast(const ChannelValue* value, const ChannelValue* whole);

  // Of several ways to carry channels the first that the rest of the network does not forbid: the number of
  // the option to follow now. `watched`: the axes that carry them then. `splits`: its output can differ most.
  size_t choose(size_t options, bool splits);
  void watch(std::vector<AxisId> axes);

  // Marks an axis of an input, seen back through views to the constant that it comes from.
  void use(size_t input, int64_t k, int uses);
  bool is_constant(size_t input) const;

 private:
  void touch(AxisId axis);
  FixReason whole(AxisId axis) const;
  bool trace(const ChannelValue* value, int64_t k, int depth,
             const std::function<void(const ChannelValue*, int64_t)>& visit) const;

  ChannelGraph& graph_;
  const Node& node_;
  size_t index_;
  int64_t opset_;
};

// How many indices of the axis a cut keeps; -1 where its size is unknown. `removed`: by element.
int64_t kept_size(const ChannelGraph& graph, const std::vector<bool>& removed, AxisId axis);

// The model that is being cut, and the nodes that it gets.
struct CutModel {
  Model& model;
  std::vector<Node> added;
  std::string new_value_name(const std::string& wanted) const;
};

// What a cut leaves of a node's axes; where attributes and constants that count channels are rewritten.
class CutNode {
 public:
  CutNode(const ChannelGraph& graph, const std::vector<bool>& removed, CutModel& cut, Node& node,
          int64_t opset);

  Node& node() { return node_; }
  int64_t opset() const { return opset_; }
  const ChannelValue* in(size_t i) const;  // as before the cut
  const ChannelValue* out(size_t i) const;
  bool changed(const ChannelValue* value, int64_t k) const;
  int64_t size(const ChannelValue* value, int64_t k) const;  // after the cut; -1: unknown
  bool keeps(const ChannelValue* value, int64_t k, int64_t i) const;
  int64_t kept_before(const ChannelValue* value, int64_t k, int64_t i) const;
  std::optional<std::vector<int64_t>> ints(size_t input, std::string_view attribute = {}) const;

  // Gives the input (or, where the node has one, the attribute) these values; other readers keep the old
  // ones.
  void set_ints(size_t input, std::string_view attribute, const std::vector<int64_t>& values);
  // Writes the new dims of output 0 into the shape that the input gives, element by element: those that
  // changed.
  void set_shape(size_t input);

 private:
  std::string with_elements(const std::string& value,
                            const std::vector<std::pair<int64_t, int64_t>>& changes);
  std::string new_constant(const std::string& near, Tensor tensor);

  const ChannelGraph& graph_;
  const std::vector<bool>& removed_;
  CutModel& cut_;
  Node& node_;
  int64_t opset_;
};

struct ChannelRule {
  std::string_view name;
  void (*join)(ChannelPorts&);
  void (*rewrite)(CutNode&) = nullptr;
  std::string_view domain = "";
};

// Null: none. The rule of a version that has another meaning is told by ChannelPorts::opset().
const ChannelRule* find_channel_rule(std::string_view domain, std::string_view op_type);

// The families; channel_rules.cpp lists them.
std::vector<ChannelRule> elementwise_channel_rules();
std::vector<ChannelRule> layer_channel_rules();
std::vector<ChannelRule> norm_channel_rules();
std::vector<ChannelRule> reduce_channel_rules();
std::vector<ChannelRule> view_channel_rules();
std::vector<ChannelRule> join_channel_rules();
std::vector<ChannelRule> recurrent_channel_rules();
std::vector<ChannelRule> attention_channel_rules();
std::vector<ChannelRule> fused_channel_rules();

// numpy's axis, or -1 where it is out of range.
int64_t wrap_axis(int64_t axis, int64_t rank);

// The elements of a constant of int64 or int32.
std::optional<std::vector<int64_t>> constant_ints(const ChannelValue* value);

// Where element k of a shape (a vector) comes from: a constant's number, which can be written anew where it
// is above 1 (0, 1 and -1 follow on their own), or a dim of a value.
struct ShapeElement {
  int64_t number = 0;
  const ChannelValue* of = nullptr;
  int64_t dim = 0;
};
std::optional<ShapeElement> find_shape_element(const ChannelGraph& graph, const std::string& value,
                                               int64_t k);

}  // namespace mc
