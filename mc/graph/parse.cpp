#include "mc/base/text.h"
#include "mc/graph/parser.h"
#include "mc/graph/syntax.h"

namespace mc {

Model parse_model(std::string_view text) {
  return Parser(text).model();
}

Model Parser::model() {
  Model model;
  Annotation rest;
  if (lexer_.accept('<')) {
    do {
      const size_t position = lexer_.position();
      const std::string key = lexer_.identifier("a key such as ir_version");
      lexer_.expect(':', "after the key");
      if (key == "ir_version") {
        model.ir_version = lexer_.integer();
      } else if (key == "opset_import") {
        model.opset_imports = opsets();
      } else if (key == "producer_name") {
        model.producer_name = lexer_.quoted("a producer");
      } else if (key == "producer_version") {
        model.producer_version = lexer_.quoted("a version");
      } else if (key == "domain") {
        model.domain = lexer_.quoted("a domain");
      } else if (key == "model_version") {
        model.model_version = lexer_.integer();
      } else if (!common_key(key, rest)) {
        unknown_key(key, position,
                    {"ir_version", "opset_import", "producer_name", "producer_version", "domain",
                     "model_version", "doc_string", "metadata_props", "unknown_fields"});
      }
    } while (lexer_.accept(','));
    lexer_.expect('>', "at the end of the model's head");
  }
  model.doc = std::move(rest.doc);
  model.metadata = std::move(rest.metadata);
  model.unknown_fields = std::move(rest.unknown_fields);
  model.graph = graph();
  while (!lexer_.at_end()) model.functions.push_back(function());
  return model;
}

Function Parser::function() {
  Function function;
  Annotation rest;
  if (lexer_.accept('<')) {
    do {
      const size_t position = lexer_.position();
      const std::string key = lexer_.identifier("a key such as opset_import");
      lexer_.expect(':', "after the key");
      if (key == "opset_import") {
        function.opset_imports = opsets();
      } else if (key == "domain") {
        function.domain = lexer_.quoted("a domain");
      } else if (key == "overload") {
        function.overload = lexer_.quoted("an overload");
      } else if (!common_key(key, rest)) {
        unknown_key(key, position,
                    {"opset_import", "domain", "overload", "doc_string", "metadata_props", "unknown_fields"});
      }
    } while (lexer_.accept(','));
    lexer_.expect('>', "at the end of the function's head");
  }
  function.doc = std::move(rest.doc);
  function.metadata = std::move(rest.metadata);
  function.unknown_fields = std::move(rest.unknown_fields);
  function.name = lexer_.name("the name of a function");
  if (lexer_.accept('<')) {
    do {
      std::string name = lexer_.name("the name of an attribute");
      const char next = lexer_.peek();
      if (next == ':' || next == '=' || next == '@') {
        function.attribute_defaults.push_back(attribute_after(std::move(name)));
      } else {
        function.attributes.push_back(std::move(name));
      }
    } while (lexer_.accept(','));
    lexer_.expect('>', "at the end of the function's attributes");
  }
  const auto parameters = [&](std::vector<std::string>& names) {
    lexer_.expect('(', "before the function's values");
    for (ValueInfo& info : values(')')) {
      names.push_back(info.name);
      if (info.type != Type{}) function.value_infos.push_back(std::move(info));
    }
  };
  parameters(function.inputs);
  if (!lexer_.accept("=>")) lexer_.fail_here("expected '=>' between a function's inputs and outputs");
  parameters(function.outputs);
  if (lexer_.accept('<')) {
    for (ValueInfo& info : values('>')) function.value_infos.push_back(std::move(info));
  }
  function.nodes = body();
  return function;
}

Graph Parser::graph() {
  const Nesting nesting(*this);
  Graph graph;
  graph.name = lexer_.name("the name of a graph");
  Annotation rest = annotation();
  graph.doc = std::move(rest.doc);
  graph.metadata = std::move(rest.metadata);
  graph.unknown_fields = std::move(rest.unknown_fields);
  graph.quantization_annotations = std::move(rest.quantization);
  const auto list = [&](char close, bool input) {
    if (lexer_.accept(close)) return;
    do {
      input_or_constant(graph, input);
    } while (lexer_.accept(','));
    lexer_.expect(close, "at the end of the list of values");
  };
  if (lexer_.accept('(')) list(')', /*input=*/true);
  if (!lexer_.accept("=>")) lexer_.fail_here("expected '=>' between a graph's inputs and outputs");
  lexer_.expect('(', "before a graph's outputs");
  graph.outputs = values(')');
  if (lexer_.accept('<')) list('>', /*input=*/false);
  graph.nodes = body();
  return graph;
}

ValueInfo Parser::value() {
  ValueInfo info;
  if (next_is_type()) info.type = type();
  info.name = lexer_.name("the name of a value");
  Annotation rest = annotation();
  info.doc = std::move(rest.doc);
  info.metadata = std::move(rest.metadata);
  info.unknown_fields = std::move(rest.unknown_fields);
  return info;
}

std::vector<ValueInfo> Parser::values(char close) {
  std::vector<ValueInfo> list;
  if (lexer_.accept(close)) return list;
  do {
    list.push_back(value());
  } while (lexer_.accept(','));
  lexer_.expect(close, "at the end of the list of values");
  return list;
}

void Parser::input_or_constant(Graph& graph, bool input) {
  const size_t position = lexer_.position();
  ValueInfo info = value();
  if (lexer_.accept('=')) {
    if (graph.initializer(info.name) != nullptr) {
      lexer_.fail_at(position, fmt::format("a second constant named '{}'", info.name));
    }
    if (info.type.kind == Type::Kind::kSparseTensor) {
      sparse_initializer(graph, info.type, info.name);
    } else {
      graph.add_initializer(info.name, tensor(info.type));
    }
    if (!input) return;
  }
  (input ? graph.inputs : graph.value_infos).push_back(std::move(info));
}

void Parser::sparse_initializer(Graph& graph, const Type& type, const std::string& name) {
  Initializer& initializer = graph.add_initializer(name, Tensor{});
  initializer.sparse = true;
  initializer.sparse_value = sparse(type);
}

std::vector<Node> Parser::body() {
  std::vector<Node> nodes;
  lexer_.expect('{', "before the nodes");
  while (!lexer_.accept('}')) nodes.push_back(node());
  return nodes;
}

Node Parser::node() {
  Node node;
  if (lexer_.accept('[')) {
    if (lexer_.next_is_name()) node.name = lexer_.name("the name of a node");
    lexer_.expect(']', "after the name of a node");
  }
  node.outputs = operands();
  lexer_.expect('=', "between a node's outputs and its operator (or '}' after the last node)");
  operator_name(node);
  attributes(node.attributes);
  lexer_.expect('(', "before a node's inputs");
  node.inputs = operands();
  lexer_.expect(')', "after a node's inputs");
  if (node.attributes.empty()) attributes(node.attributes);
  Annotation rest = annotation();
  node.doc = std::move(rest.doc);
  node.metadata = std::move(rest.metadata);
  node.unknown_fields = std::move(rest.unknown_fields);
  return node;
}

void Parser::operator_name(Node& node) {
  node.op_type = lexer_.name("an operator");
  while (lexer_.accept('.')) {
    node.domain += node.domain.empty() ? node.op_type : "." + node.op_type;
    node.op_type = lexer_.name("an operator");
  }
  if (lexer_.accept(':')) node.overload = lexer_.name("an overload");
}

// As onnx.parser reads lists of names: an omitted one is "" or nothing before a comma; a comma at the end
// adds nothing.
std::vector<std::string> Parser::operands() {
  std::vector<std::string> names;
  do {
    if (lexer_.next_is_name()) {
      names.push_back(lexer_.name("a value"));
    } else if (lexer_.peek() == ',') {
      names.emplace_back();
    } else {
      break;
    }
  } while (lexer_.accept(','));
  return names;
}

void Parser::attributes(std::vector<Attribute>& list) {
  if (!lexer_.accept('<') || lexer_.accept('>')) return;
  do {
    list.push_back(attribute());
  } while (lexer_.accept(','));
  lexer_.expect('>', "at the end of the attributes");
}

Parser::Annotation Parser::annotation() {
  Annotation result;
  if (!lexer_.accept("@<")) return result;
  do {
    const size_t position = lexer_.position();
    const std::string key = lexer_.identifier("a key such as metadata_props");
    lexer_.expect(':', "after the key");
    if (key == "quantization_annotation") {
      lexer_.expect('[', "before the annotations");
      do {
        result.quantization.push_back(quantization());
      } while (lexer_.accept(','));
      lexer_.expect(']', "after the annotations");
    } else if (!common_key(key, result)) {
      unknown_key(key, position,
                  {"doc_string", "metadata_props", "unknown_fields", "quantization_annotation"});
    }
  } while (lexer_.accept(','));
  lexer_.expect('>', "at the end of '@<'");
  return result;
}

bool Parser::common_key(const std::string& key, Annotation& into) {
  if (key == "doc_string") {
    into.doc = lexer_.quoted("text");
  } else if (key == "metadata_props") {
    into.metadata = pairs();
  } else if (key == "unknown_fields") {
    const size_t position = lexer_.position();
    std::optional<std::string> bytes = syntax::from_hexadecimal(lexer_.quoted("bytes"));
    if (!bytes) lexer_.fail_at(position, "expected pairs of hexadecimal digits");
    into.unknown_fields = std::move(*bytes);
  } else {
    return false;
  }
  return true;
}

Metadata Parser::pairs() {
  Metadata metadata;
  lexer_.expect('[', "before pairs of texts");
  if (lexer_.accept(']')) return metadata;
  do {
    std::string key = lexer_.quoted("a key");
    lexer_.expect(':', "between key and value");
    metadata.emplace_back(std::move(key), lexer_.quoted("a value"));
  } while (lexer_.accept(','));
  lexer_.expect(']', "after pairs of texts");
  return metadata;
}

Parser::Opsets Parser::opsets() {
  Opsets imports;
  lexer_.expect('[', "before the opsets");
  if (lexer_.accept(']')) return imports;
  do {
    std::string domain = lexer_.quoted("a domain");
    lexer_.expect(':', "between domain and version");
    imports.emplace_back(std::move(domain), lexer_.integer());
  } while (lexer_.accept(','));
  lexer_.expect(']', "after the opsets");
  return imports;
}

QuantizationAnnotation Parser::quantization() {
  QuantizationAnnotation result;
  lexer_.expect('[', "before an annotation");
  result.tensor_name = lexer_.quoted("the name of a tensor");
  while (lexer_.accept(',')) {
    std::string key = lexer_.quoted("a key");
    lexer_.expect(':', "between key and value");
    result.entries.emplace_back(std::move(key), lexer_.quoted("a value"));
  }
  lexer_.expect(']', "after an annotation");
  return result;
}

void Parser::unknown_key(const std::string& key, size_t position, std::vector<std::string> known) {
  lexer_.fail_at(position, fmt::format("unknown key '{}'{}", key, did_you_mean(key, known)));
}

}  // namespace mc
