// ONNX's own semantics in plain C++: a Model holds a Graph, its opset imports and functions; a Graph is
// a list of Nodes in topological order over values that are named once (SSA) and initializers that own
// reference-counted bytes. There is one graph form only, and it is lossless: import then export keeps
// everything, unknown operators, metadata and unknown protobuf fields included. Copying a Graph copies
// the structure and shares the bytes.
//
// A value is its name. An empty input name is an omitted optional input. A subgraph (an attribute of If,
// Loop, Scan) sees the values of the graphs around it.
//
// What methods leave for others to see stands in metadata (keys below): masks, provenance, roles.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "mc/graph/tensor.h"
#include "mc/graph/type.h"

namespace mc {

class Graph;

// How deep subgraphs and types may nest in what we read; a model that goes deeper is refused.
inline constexpr int kMaxDepth = 64;

// Metadata keys of ours.
inline constexpr const char* kMaskOf = "mc.mask_of";   // on an initializer: the parameter it masks
inline constexpr const char* kRole = "mc.role";        // on an initializer: overrides the derived role
inline constexpr const char* kSources = "mc.sources";  // on a node: names of the source nodes it stands for

struct Attribute {
  // ONNX's AttributeProto.AttributeType numbers.
  enum class Kind {
    kUndefined = 0,
    kFloat = 1,
    kInt = 2,
    kString = 3,
    kTensor = 4,
    kGraph = 5,
    kFloats = 6,
    kInts = 7,
    kStrings = 8,
    kTensors = 9,
    kGraphs = 10,
    kSparseTensor = 11,
    kSparseTensors = 12,
    kType = 13,
    kTypes = 14,
  };
  struct Sparse {
    Tensor values;
    Tensor indices;
    std::vector<int64_t> dims;
    std::string values_name;
    std::string indices_name;
    std::string unknown_fields;
  };

  std::string name;
  Kind kind = Kind::kUndefined;
  std::string doc;
  std::string
      ref;  // inside a function: the name of the function's attribute that this one takes its value from
  std::variant<std::monostate, float, int64_t, std::string, Tensor, std::shared_ptr<Graph>,
               std::vector<float>, std::vector<int64_t>, std::vector<std::string>, std::vector<Tensor>,
               std::vector<std::shared_ptr<Graph>>, Sparse, std::vector<Sparse>, Type, std::vector<Type>>
      value;
  std::string tensor_name;     // TensorProto.name of a tensor attribute, kept for the round trip
  std::string unknown_fields;  // protobuf bytes that we do not know

  Attribute() = default;
  Attribute(const Attribute& other);  // subgraphs are copied too
  Attribute& operator=(const Attribute& other);
  Attribute(Attribute&&) = default;
  Attribute& operator=(Attribute&&) = default;
  ~Attribute() = default;
  Attribute(std::string n, float v) : name(std::move(n)), kind(Kind::kFloat), value(v) {}
  Attribute(std::string n, int64_t v) : name(std::move(n)), kind(Kind::kInt), value(v) {}
  Attribute(std::string n, int v) : Attribute(std::move(n), static_cast<int64_t>(v)) {}
  Attribute(std::string n, std::string v) : name(std::move(n)), kind(Kind::kString), value(std::move(v)) {}
  Attribute(std::string n, const char* v) : Attribute(std::move(n), std::string(v)) {}
  Attribute(std::string n, Tensor v) : name(std::move(n)), kind(Kind::kTensor), value(std::move(v)) {}
  Attribute(std::string n, std::vector<int64_t> v)
      : name(std::move(n)), kind(Kind::kInts), value(std::move(v)) {}
  Attribute(std::string n, std::vector<float> v)
      : name(std::move(n)), kind(Kind::kFloats), value(std::move(v)) {}
  Attribute(std::string n, Graph v);  // a subgraph

  // The subgraphs held: none, one, or as many as a list of graphs has.
  std::vector<Graph*> graphs();
  std::vector<const Graph*> graphs() const;
};

struct Node {
  std::string name;
  std::string op_type;
  std::string domain;  // "" is ai.onnx
  std::string overload;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<Attribute> attributes;
  std::string doc;
  Metadata metadata;
  std::string unknown_fields;

  const Attribute* find(std::string_view attribute) const;
  Attribute* find(std::string_view attribute);
  void set(Attribute attribute);  // replaces one of the same name
  void erase(std::string_view attribute);

  // Attribute values with a default. Throw Error (naming the node) when the attribute has another kind.
  int64_t get_int(std::string_view attribute, int64_t otherwise) const;
  float get_float(std::string_view attribute, float otherwise) const;
  std::string get_string(std::string_view attribute, std::string otherwise) const;
  std::vector<int64_t> get_ints(std::string_view attribute, std::vector<int64_t> otherwise = {}) const;
  std::vector<float> get_floats(std::string_view attribute, std::vector<float> otherwise = {}) const;
  const Tensor* get_tensor(std::string_view attribute) const;  // null when absent

  bool is(std::string_view op, std::string_view in_domain = "") const {
    return op_type == op && domain == in_domain;
  }
  std::string input(size_t i) const { return i < inputs.size() ? inputs[i] : std::string(); }
  std::string label() const;  // "node 'conv1' (Conv)": for messages; falls back to the first output's name
};

struct ValueInfo {
  std::string name;
  Type type;
  std::string doc;
  Metadata metadata;
  std::string unknown_fields;
};

struct Initializer {
  std::string name;
  Tensor tensor;
  bool sparse = false;             // kept as it was written
  Attribute::Sparse sparse_value;  // only where sparse
};

struct QuantizationAnnotation {
  std::string tensor_name;
  Metadata entries;
};

class Graph {
 public:
  std::string name;
  std::string doc;
  std::vector<ValueInfo> inputs;  // may repeat initializers' names (IR version 3); then those are defaults
  std::vector<ValueInfo> outputs;
  std::vector<ValueInfo> value_infos;
  std::vector<Node> nodes;
  std::vector<QuantizationAnnotation> quantization_annotations;
  Metadata metadata;
  std::string unknown_fields;

  // Initializers keep their order; look-up by name is constant time.
  const std::vector<Initializer>& initializers() const { return initializers_; }
  const Initializer* initializer(std::string_view name) const;
  Initializer* initializer(std::string_view name);
  Initializer& add_initializer(std::string name, Tensor tensor);  // Error when the name is taken by one
  void set_initializer(const std::string& name, Tensor tensor);   // adds or replaces
  void erase_initializer(const std::string& name);

  // The declared type of a value (inputs, outputs, value infos, initializers), if any.
  std::optional<Type> type_of(std::string_view value) const;
  void set_type(const std::string& value, Type type);  // writes value_infos, or the input or output itself

  // Inputs that a caller must or may feed: those that are not initializers.
  std::vector<const ValueInfo*> real_inputs() const;

  // Every use of `from`, in this graph's nodes, outputs and subgraphs, becomes `to`.
  void replace_uses(const std::string& from, const std::string& to);

  std::string unique_value_name(const std::string& wanted) const;  // `wanted`, or with a number behind it
  std::string unique_node_name(const std::string& wanted) const;

  // Nodes into topological order, keeping the written order where it can. Throws Error that names a node
  // on a cycle.
  void sort();

  // Drops initializers, value infos and nodes that reach no output. Masks (kMaskOf) live with their
  // parameter. Returns how many things went.
  int drop_unused();

 private:
  std::vector<Initializer> initializers_;
  std::unordered_map<std::string, size_t> initializer_index_;
};

// Who makes and who reads each value of one graph; a snapshot, made anew after an edit.
class Uses {
 public:
  struct Use {
    size_t node;
    size_t input;
  };
  explicit Uses(const Graph& graph);
  // Index of the node that makes the value; nullopt for inputs, initializers and outer values.
  std::optional<size_t> producer(const std::string& value) const;
  const std::vector<Use>& consumers(
      const std::string& value) const;  // subgraph captures count with input = npos
  bool is_output(const std::string& value) const;
  static constexpr size_t npos = static_cast<size_t>(-1);

 private:
  std::unordered_map<std::string, size_t> producers_;
  std::unordered_map<std::string, std::vector<Use>> consumers_;
  std::unordered_map<std::string, bool> outputs_;
};

struct Function {
  std::string name;
  std::string domain;
  std::string overload;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<std::string> attributes;  // names without a default
  std::vector<Attribute> attribute_defaults;
  std::vector<Node> nodes;
  std::vector<std::pair<std::string, int64_t>> opset_imports;
  std::vector<ValueInfo> value_infos;
  std::string doc;
  Metadata metadata;
  std::string unknown_fields;
};

struct Model {
  int64_t ir_version = 10;
  std::vector<std::pair<std::string, int64_t>> opset_imports;  // domain, version
  std::string producer_name;
  std::string producer_version;
  std::string domain;
  int64_t model_version = 0;
  std::string doc;
  Metadata metadata;
  std::vector<Function> functions;
  Graph graph;
  std::string unknown_fields;

  int64_t opset(std::string_view in_domain = "") const;  // 0 when not imported; "ai.onnx" is ""
  void set_opset(const std::string& in_domain, int64_t version);
};

// Names that the graph reads from the graphs around it, each once, in order of first use.
std::vector<std::string> captures(const Graph& graph);
// Names that a node reads: its inputs (omitted ones left out), then what its subgraphs capture.
std::vector<std::string> reads(const Node& node);

// Calls `visit` on this graph and on every subgraph in it, outermost first.
void for_each_graph(Graph& graph, const std::function<void(Graph&)>& visit);
void for_each_graph(const Graph& graph, const std::function<void(const Graph&)>& visit);

// Throws Error that names the place when the model breaks a rule of ONNX's IR: names unique (SSA), uses
// after definitions, no cycle, declared opsets, tensors whose bytes match dims and type, attributes of
// one kind each, subgraphs likewise.
void verify(const Model& model);

// The same in everything, tensors' bytes included: their full texts are equal.
bool operator==(const Model& a, const Model& b);

// Text form: parse_model(print(m, true)) == m. Without `full`, tensors of more than 32 elements print as
// their size and a digest, and parse as zeros. The syntax is ONNX's own (docs/Syntax.md of onnx), so
// onnx.parser reads what we print and the other way round, with these additions where ONNX has none:
//  - `@<key: value, ...>` behind a value, an initializer, a node, a tensor, the name of an attribute or the
//    name of a graph holds what else it has: doc_string, metadata_props, unknown_fields (hexadecimal), and
//    for a graph quantization_annotation: [["tensor", "key": "value", ...], ...]; the heads of models and
//    functions take unknown_fields, those of functions also metadata_props;
//  - `@"text"` behind a dimension or a type is its denotation;
//  - `sparse_tensor(float[9]) name = {float[2] values {1, 2}, int64[2] indices {0, 4}}` is a sparse constant;
//  - lists of tensors, graphs and types; quoted names of operators, domains and attributes;
//  - float16 and bfloat16 elements are bit patterns as in ONNX where they look like integers, and values
//    where they look like floats (1.0); sub-byte elements stand one by one; nan(0x7fc01234) has these bits;
//  - `#` begins a comment that ends with the line.
std::string print(const Model& model, bool full = false);
Model parse_model(std::string_view text);  // throws Error with line and column; does not verify

}  // namespace mc
