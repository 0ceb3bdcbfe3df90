// What reads a value, and hence which role an initializer there has. Internal to the room.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/ops/op.h"

namespace mc {

// The roles that the readers of one value ask for; constants ask for nothing.
struct Demand {
  bool weight = false;
  bool statistic = false;
  bool state = false;

  bool none() const { return !weight && !statistic && !state; }
  bool operator==(const Demand&) const = default;
  void add(Role role);
  void add(const Demand& other);
  // Statistics and weights only where the tensor is a float one.
  Role role(bool is_float) const;
};

// A snapshot of a model's reads, subgraphs included. Rules:
//  - an operator's ports say what they are; views (Identity, Transpose, Reshape, Cast, Expand ...) pass on
//    what their readers ask for, and so do Slice and Concat of nothing but initializers (exporters reorder
//    the gates of recurrent layers so);
//  - Add: an operand of rank 1 or more is a weight (bias, position embedding) where the other one comes
//    from a weighted operator: a convolution, a product with weights, an embedding, a recurrent layer, or
//    a scaled normalization, seen through views, Dropout, Concat and further Adds of this kind;
//  - Mul: an operand of rank 1 or more is a weight where the other one is a normalization, as one operator
//    or decomposed: x / sqrt(mean + epsilon), or x times the reciprocal of that; and where it has one element
//    for each output channel of the weighted operator that the other one comes from (layer scale);
//  - a single element trains by Add or Mul only where that operator has a single channel: the numbers of a
//    decomposed activation (x + 3) do not;
//  - Concat: an operand of rank 2 or 3 is a weight (class token) where another one comes from a weighted
//    operator. Maps of rank 4 (coordinate channels) stay constant.
// `tensor` is the initializer in question.
class RoleRules {
 public:
  struct Use {
    const Node* node;
    size_t input;
    bool nested;  // in a subgraph
  };

  explicit RoleRules(const Model& model);

  const std::vector<Use>& uses(const std::string& value) const;
  Demand demand(const std::string& value, const Tensor& tensor) const;  // by all readers, through views
  Demand demand(const Use& use, const Tensor& tensor) const;            // by one
  // Whether a Constant's value is a weight or a statistic beyond doubt.
  bool is_stored_weight(const std::string& value, const Tensor& tensor, int depth = 0) const;

 private:
  void find_stored();
  const Op* op(const Node& node) const;
  const Node* producer(const std::string& value) const;
  bool is_view(const Node& node) const;
  std::string root(const std::string& value) const;           // backwards through views
  bool is_float_initializer(const std::string& value) const;  // or a view of one
  bool is_weighted(const std::string& value, int depth = 0) const;
  int64_t channels(const std::string& value) const;  // of the weighted operator that it comes from, or 0
  int64_t weight_channels(const Node& node, const Op& known) const;
  bool is_normalization(const std::string& value) const;
  bool is_deviation(const std::string& value) const;
  Demand demand(const std::string& value, const Tensor& tensor, int depth) const;
  Demand demand(const Use& use, const Tensor& tensor, int depth) const;
  bool trains_by_pattern(const Use& use, const Tensor& tensor) const;

  const Model& model_;
  std::unordered_map<std::string, std::vector<Use>> uses_;
  std::unordered_map<std::string, const Node*> producers_;
  std::unordered_set<std::string> stored_;  // float initializers, and what is made of nothing else by views
};

}  // namespace mc
