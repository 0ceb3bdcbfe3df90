// Recursive descent over ONNX's text syntax; see parse_model in graph.h for the additions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mc/graph/graph.h"
#include "mc/graph/lexer.h"

namespace mc {

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}
  Model model();

 private:
  // What `@<...>` holds.
  struct Annotation {
    std::string doc;
    Metadata metadata;
    std::string unknown_fields;
    std::vector<QuantizationAnnotation> quantization;
  };
  using Opsets = std::vector<std::pair<std::string, int64_t>>;

  // parse.cpp: models, functions, graphs, nodes.
  Function function();
  Graph graph();
  ValueInfo value();
  std::vector<ValueInfo> values(char close);
  void input_or_constant(Graph& graph, bool input);
  void sparse_initializer(Graph& graph, const Type& type, const std::string& name);
  std::vector<Node> body();
  Node node();
  void operator_name(Node& node);
  std::vector<std::string> operands();
  void attributes(std::vector<Attribute>& list);
  Annotation annotation();
  bool common_key(const std::string& key, Annotation& into);
  Metadata pairs();
  Opsets opsets();
  QuantizationAnnotation quantization();
  [[noreturn]] void unknown_key(const std::string& key, size_t position, std::vector<std::string> known);

  // parse_value.cpp: types, constants, attributes.
  bool next_is_type();
  DType element_type();
  DType element_type(size_t position, const std::string& word);
  Type type();
  Type tensor_type(DType dtype);
  Dim dimension();
  void type_extras(std::string& denotation, std::string& unknown_fields);
  Tensor tensor(const Type& type);
  Tensor named_tensor(std::string& name);
  Attribute::Sparse sparse(const Type& type);
  void elements(Tensor& tensor);
  void element(Tensor& tensor, std::vector<std::byte>& data, uint64_t index);
  Attribute attribute();
  Attribute attribute_after(std::string name);
  void attribute_value(Attribute& attribute, Attribute::Kind expected);
  void word_value(Attribute& attribute, Attribute::Kind expected);
  void attribute_list(Attribute& attribute, bool annotated);

  // An Error of `body` gains the place.
  template <class Body>
  auto placed(size_t position, Body body) {
    try {
      return body();
    } catch (const Error& error) {
      lexer_.fail_at(position, error.what());
    }
  }

  // Counts how deep graphs and types nest.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) parser_.lexer_.fail_here("nested deeper than {} levels", kMaxDepth);
    }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  Lexer lexer_;
  int depth_ = 0;
};

}  // namespace mc
