#include "mc/onnx/read_graph.h"

#include "mc/base/error.h"
#include "mc/onnx/onnx.h"
#include "mc/onnx/read_attribute.h"
#include "mc/onnx/schema.h"

namespace mc {
namespace {

ValueInfo read_value(std::string_view message) {
  return with_context([&] { return "value '" + peek_text(message, field::value_info::kName) + "'"; },
                      [&] {
                        ValueInfo info;
                        Fields fields(message, "ValueInfoProto");
                        while (fields.next()) {
                          switch (fields.number()) {
                            case field::value_info::kName:
                              info.name = fields.text();
                              break;
                            case field::value_info::kType:
                              read_type(fields.bytes(), info.type);
                              break;
                            case field::value_info::kDoc:
                              info.doc = fields.text();
                              break;
                            case field::value_info::kMetadata:
                              read_entry(fields, info.metadata, info.unknown_fields);
                              break;
                            default:
                              fields.keep(info.unknown_fields);
                              break;
                          }
                        }
                        return info;
                      });
}

std::string node_label(std::string_view message) {
  Node node;
  node.name = peek_text(message, field::node::kName);
  node.op_type = peek_text(message, field::node::kOpType);
  node.domain = peek_text(message, field::node::kDomain);
  node.outputs = {peek_text(message, field::node::kOutput)};
  return node.label();
}

Node read_node(std::string_view message, TensorSource& source, int depth) {
  return with_context([&] { return node_label(message); },
                      [&] {
                        Node node;
                        Fields fields(message, "NodeProto");
                        while (fields.next()) {
                          switch (fields.number()) {
                            case field::node::kInput:
                              node.inputs.push_back(fields.text());
                              break;
                            case field::node::kOutput:
                              node.outputs.push_back(fields.text());
                              break;
                            case field::node::kName:
                              node.name = fields.text();
                              break;
                            case field::node::kOpType:
                              node.op_type = fields.text();
                              break;
                            case field::node::kDomain:
                              node.domain = fields.text();
                              break;
                            case field::node::kOverload:
                              node.overload = fields.text();
                              break;
                            case field::node::kAttribute:
                              node.attributes.push_back(read_attribute(fields.bytes(), source, depth));
                              break;
                            case field::node::kDoc:
                              node.doc = fields.text();
                              break;
                            case field::node::kMetadata:
                              read_entry(fields, node.metadata, node.unknown_fields);
                              break;
                            default:
                              fields.keep(node.unknown_fields);
                              break;
                          }
                        }
                        return node;
                      });
}

void read_initializer(std::string_view message, TensorSource& source, Graph& graph) {
  std::string name;
  Tensor tensor =
      with_context([&] { return "initializer '" + peek_text(message, field::tensor::kName) + "'"; },
                   [&] { return read_tensor(message, source, name); });
  graph.add_initializer(std::move(name), std::move(tensor));
}

void read_sparse_initializer(std::string_view message, TensorSource& source, Graph& graph) {
  Attribute::Sparse sparse = with_context([] { return std::string("a sparse initializer"); },
                                          [&] { return read_sparse(message, source); });
  Initializer& initializer = graph.add_initializer(sparse.values_name, Tensor{});
  initializer.sparse = true;
  initializer.sparse_value = std::move(sparse);
}

// An annotation with fields that we do not know stays raw as a whole.
void read_quantization(Fields& fields, Graph& graph) {
  const std::string_view message = fields.bytes();
  QuantizationAnnotation annotation;
  std::string unknown;
  Fields parts(message, "TensorAnnotation");
  while (parts.next()) {
    switch (parts.number()) {
      case field::quantization::kTensorName:
        annotation.tensor_name = parts.text();
        break;
      case field::quantization::kEntries:
        read_entry(parts, annotation.entries, unknown);
        break;
      default:
        parts.keep(unknown);
        break;
    }
  }
  if (unknown.empty()) {
    graph.quantization_annotations.push_back(std::move(annotation));
  } else {
    keep_wrapped(graph.unknown_fields, fields.number(), std::string(message));
  }
}

}  // namespace

void read_graph(std::string_view message, TensorSource& source, Graph& graph, int depth) {
  with_context([&] { return "graph '" + peek_text(message, field::graph::kName) + "'"; },
               [&] {
                 MC_CHECK(depth <= kMaxDepth, "subgraphs are nested deeper than {} levels", kMaxDepth);
                 Fields fields(message, "GraphProto");
                 while (fields.next()) {
                   switch (fields.number()) {
                     case field::graph::kNode:
                       graph.nodes.push_back(read_node(fields.bytes(), source, depth));
                       break;
                     case field::graph::kName:
                       graph.name = fields.text();
                       break;
                     case field::graph::kInitializer:
                       read_initializer(fields.bytes(), source, graph);
                       break;
                     case field::graph::kSparseInitializer:
                       read_sparse_initializer(fields.bytes(), source, graph);
                       break;
                     case field::graph::kDoc:
                       graph.doc = fields.text();
                       break;
                     case field::graph::kInput:
                       graph.inputs.push_back(read_value(fields.bytes()));
                       break;
                     case field::graph::kOutput:
                       graph.outputs.push_back(read_value(fields.bytes()));
                       break;
                     case field::graph::kValueInfo:
                       graph.value_infos.push_back(read_value(fields.bytes()));
                       break;
                     case field::graph::kQuantization:
                       read_quantization(fields, graph);
                       break;
                     case field::graph::kMetadata:
                       read_entry(fields, graph.metadata, graph.unknown_fields);
                       break;
                     default:
                       fields.keep(graph.unknown_fields);
                       break;
                   }
                 }
               });
}

Function read_function(std::string_view message, TensorSource& source) {
  return with_context(
      [&] { return "function '" + peek_text(message, field::function::kName) + "'"; },
      [&] {
        Function function;
        Fields fields(message, "FunctionProto");
        while (fields.next()) {
          switch (fields.number()) {
            case field::function::kName:
              function.name = fields.text();
              break;
            case field::function::kDomain:
              function.domain = fields.text();
              break;
            case field::function::kOverload:
              function.overload = fields.text();
              break;
            case field::function::kInput:
              function.inputs.push_back(fields.text());
              break;
            case field::function::kOutput:
              function.outputs.push_back(fields.text());
              break;
            case field::function::kAttribute:
              function.attributes.push_back(fields.text());
              break;
            case field::function::kAttributeDefault:
              function.attribute_defaults.push_back(read_attribute(fields.bytes(), source, /*depth=*/1));
              break;
            case field::function::kNode:
              function.nodes.push_back(read_node(fields.bytes(), source, /*depth=*/1));
              break;
            case field::function::kDoc:
              function.doc = fields.text();
              break;
            case field::function::kOpsetImport:
              read_opset(fields.bytes(), function.opset_imports);
              break;
            case field::function::kValueInfo:
              function.value_infos.push_back(read_value(fields.bytes()));
              break;
            case field::function::kMetadata:
              read_entry(fields, function.metadata, function.unknown_fields);
              break;
            default:
              fields.keep(function.unknown_fields);
              break;
          }
        }
        return function;
      });
}

void read_opset(std::string_view message, OpsetImports& imports) {
  std::string domain;
  int64_t version = 0;
  std::string unknown;
  Fields fields(message, "OperatorSetIdProto");
  while (fields.next()) {
    switch (fields.number()) {
      case field::opset::kDomain:
        domain = fields.text();
        break;
      case field::opset::kVersion:
        version = fields.integer();
        break;
      default:
        fields.keep(unknown);
        break;
    }
  }
  // There is no place to keep them, and they may change what the operators mean.
  MC_CHECK(unknown.empty(), "the opset import of domain '{}' has fields that are unknown here", domain);
  const bool is_main = domain.empty() || domain == "ai.onnx";
  const int64_t newest = is_main ? kNewestOpset : domain == "ai.onnx.ml" ? kNewestMlOpset : INT64_MAX;
  MC_CHECK(version <= newest,
           "needs opset {} of {}, newer than the {} known here; export the model with opset {} or older",
           version, is_main ? "ai.onnx" : domain, newest, newest);
  imports.emplace_back(std::move(domain), version);
}

}  // namespace mc
