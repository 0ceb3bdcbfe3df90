// One node on its way from one opset to the next: what rules see of it and may do. Internal to the room.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mc/base/error.h"
#include "mc/graph/graph.h"

namespace mc {

// What is known of the values of one graph (or function body), and through `outer` of those around it.
struct OpsetScope {
  const OpsetScope* outer = nullptr;
  std::unordered_map<std::string, Type> types;
  std::unordered_map<std::string, Tensor> constants;

  const Type* type(const std::string& value) const;
  const Tensor* constant(const std::string& value) const;
};

// What the steps of one conversion share.
struct OpsetNames {
  std::unordered_set<std::string> taken;     // names of values and nodes, anywhere in the model
  std::unordered_set<std::string> read;      // values that something reads, or that are outputs
  std::unordered_set<std::string> consumed;  // constants that became attributes
  std::unordered_set<std::string> dropped;   // outputs that no node makes any more

  std::string fresh(const std::string& wanted);
};

class OpsetStep {
 public:
  OpsetStep(Node& n, int64_t target, OpsetScope& scope, OpsetNames& names)
      : node(n), to(target), scope_(scope), names_(names) {}

  Node& node;        // in the form of the version before; the rule leaves it in the form of `to`
  const int64_t to;  // the opset after this step

  // What is known of an input or output; null, kUndefined or nullopt where it is not.
  const Type* type(const std::string& value) const { return scope_.type(value); }
  const Shape* shape(const std::string& value) const;
  DType dtype(const std::string& value) const;
  std::optional<int64_t> rank(size_t input) const;
  const Tensor* constant(size_t input) const;
  bool is_read(size_t output) const;

  // The same, refused where unknown.
  DType need_dtype(size_t input) const;
  int64_t need_rank(size_t input) const;
  const Tensor& need_constant(size_t input) const;

  // New nodes before this one; they give the name of their output.
  std::string before(const std::string& op, std::vector<std::string> inputs,
                     std::vector<Attribute> attributes = {});
  std::string constant_before(Tensor value);
  std::string ints_before(const std::vector<int64_t>& values);  // int64, rank 1
  std::string scalar_before(DType type, double value);

  // From now on the node makes output i under a new name, which is returned; a node behind it must make the
  // old value.
  std::string rename_output(size_t i);
  void after(const std::string& op, std::vector<std::string> inputs, std::string output,
             std::vector<Attribute> attributes = {});
  // The node itself becomes another operator on other inputs; its attributes go.
  void become(const std::string& op, std::vector<std::string> inputs, std::vector<Attribute> attributes = {});

  void set_input(size_t i, std::string value);  // fills the gap with omitted inputs
  void trim_inputs();                           // drops omitted inputs at the end
  void consume(size_t input);                   // the input became an attribute: forgets it
  void drop_outputs(size_t first);              // outputs from `first` on, which nothing reads

  std::string fresh(const std::string& wanted) { return names_.fresh(wanted); }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}: {}", node.label(), fmt::format(format, std::forward<Args>(args)...));
  }

  std::vector<Node> nodes_before;
  std::vector<Node> nodes_after;

 private:
  Node make(const std::string& op, std::vector<std::string> inputs, std::string output,
            std::vector<Attribute> attributes);

  OpsetScope& scope_;
  OpsetNames& names_;
};

using OpsetRule = std::function<void(OpsetStep&)>;

}  // namespace mc
