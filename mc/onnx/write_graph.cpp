#include "mc/onnx/write_graph.h"

#include "mc/base/error.h"
#include "mc/onnx/schema.h"
#include "mc/onnx/write_fields.h"

namespace mc {
namespace {

class AttributeWriter {
 public:
  AttributeWriter(std::string& out, ExternalWriter* external) : out_(out), external_(external) {}

  void write(const Attribute& attribute) {
    put_text_unless_empty(out_, field::attribute::kName, attribute.name);
    tensor_name_ = attribute.tensor_name;
    if (attribute.ref.empty()) std::visit([&](const auto& value) { one(value); }, attribute.value);
    put_text_unless_empty(out_, field::attribute::kDoc, attribute.doc);
    put_integer(out_, field::attribute::kKind, static_cast<int64_t>(attribute.kind));
    put_text_unless_empty(out_, field::attribute::kRef, attribute.ref);
    out_ += attribute.unknown_fields;
  }

 private:
  void one(std::monostate) {}
  void one(float value) { protozero::pbf_writer(out_).add_float(field::attribute::kFloat, value); }
  void one(int64_t value) { put_integer(out_, field::attribute::kInt, value); }
  void one(const std::string& value) { put_text(out_, field::attribute::kString, value); }
  void one(const Tensor& value) {
    put_message(out_, field::attribute::kTensor, [&] { write_tensor(out_, value, tensor_name_); });
  }
  void one(const std::shared_ptr<Graph>& value) { graph(field::attribute::kGraph, value); }
  void one(const std::vector<float>& list) {
    for (const float value : list) protozero::pbf_writer(out_).add_float(field::attribute::kFloats, value);
  }
  void one(const std::vector<int64_t>& list) {
    for (const int64_t value : list) put_integer(out_, field::attribute::kInts, value);
  }
  void one(const std::vector<std::string>& list) {
    for (const std::string& value : list) put_text(out_, field::attribute::kStrings, value);
  }
  void one(const std::vector<Tensor>& list) {
    for (const Tensor& value : list) {
      put_message(out_, field::attribute::kTensors, [&] { write_tensor(out_, value, {}); });
    }
  }
  void one(const std::vector<std::shared_ptr<Graph>>& list) {
    for (const auto& value : list) graph(field::attribute::kGraphs, value);
  }
  void one(const Attribute::Sparse& value) {
    put_message(out_, field::attribute::kSparse, [&] { write_sparse(out_, value); });
  }
  void one(const std::vector<Attribute::Sparse>& list) {
    for (const Attribute::Sparse& value : list) {
      put_message(out_, field::attribute::kSparses, [&] { write_sparse(out_, value); });
    }
  }
  void one(const Type& value) {
    put_message(out_, field::attribute::kType, [&] { write_type(out_, value); });
  }
  void one(const std::vector<Type>& list) {
    for (const Type& value : list) {
      put_message(out_, field::attribute::kTypes, [&] { write_type(out_, value); });
    }
  }

  void graph(uint32_t number, const std::shared_ptr<Graph>& value) {
    MC_CHECK(value != nullptr, "a subgraph is missing");
    put_message(out_, number, [&] { write_graph(out_, *value, external_); });
  }

  std::string& out_;
  ExternalWriter* external_;
  std::string tensor_name_;
};

void write_value(std::string& out, const ValueInfo& info) {
  put_text(out, field::value_info::kName, info.name);
  if (info.type != Type{}) {
    put_message(out, field::value_info::kType, [&] { write_type(out, info.type); });
  }
  put_text_unless_empty(out, field::value_info::kDoc, info.doc);
  put_metadata(out, field::value_info::kMetadata, info.metadata);
  out += info.unknown_fields;
}

void write_values(std::string& out, uint32_t number, const std::vector<ValueInfo>& infos) {
  for (const ValueInfo& info : infos) {
    put_message(out, number, [&] { write_value(out, info); });
  }
}

void write_node(std::string& out, const Node& node, ExternalWriter* external) {
  for (const std::string& input : node.inputs) put_text(out, field::node::kInput, input);
  for (const std::string& output : node.outputs) put_text(out, field::node::kOutput, output);
  put_text_unless_empty(out, field::node::kName, node.name);
  put_text(out, field::node::kOpType, node.op_type);
  for (const Attribute& attribute : node.attributes) {
    put_message(out, field::node::kAttribute, [&] { AttributeWriter(out, external).write(attribute); });
  }
  put_text_unless_empty(out, field::node::kDoc, node.doc);
  put_text_unless_empty(out, field::node::kDomain, node.domain);
  put_text_unless_empty(out, field::node::kOverload, node.overload);
  put_metadata(out, field::node::kMetadata, node.metadata);
  out += node.unknown_fields;
}

void write_quantization(std::string& out, const Graph& graph) {
  for (const QuantizationAnnotation& each : graph.quantization_annotations) {
    put_message(out, field::graph::kQuantization, [&] {
      put_text(out, field::quantization::kTensorName, each.tensor_name);
      put_metadata(out, field::quantization::kEntries, each.entries);
    });
  }
}

void write_initializers(std::string& out, const Graph& graph, ExternalWriter* external) {
  for (const Initializer& each : graph.initializers()) {
    if (each.sparse) {
      put_message(out, field::graph::kSparseInitializer, [&] { write_sparse(out, each.sparse_value); });
    } else {
      put_message(out, field::graph::kInitializer,
                  [&] { write_tensor(out, each.tensor, each.name, external); });
    }
  }
}

}  // namespace

void write_graph(std::string& out, const Graph& graph, ExternalWriter* external) {
  for (const Node& node : graph.nodes) {
    put_message(out, field::graph::kNode, [&] { write_node(out, node, external); });
  }
  put_text(out, field::graph::kName, graph.name);
  write_initializers(out, graph, external);
  put_text_unless_empty(out, field::graph::kDoc, graph.doc);
  write_values(out, field::graph::kInput, graph.inputs);
  write_values(out, field::graph::kOutput, graph.outputs);
  write_values(out, field::graph::kValueInfo, graph.value_infos);
  write_quantization(out, graph);
  put_metadata(out, field::graph::kMetadata, graph.metadata);
  out += graph.unknown_fields;
}

void write_function(std::string& out, const Function& function) {
  put_text(out, field::function::kName, function.name);
  for (const std::string& input : function.inputs) put_text(out, field::function::kInput, input);
  for (const std::string& output : function.outputs) put_text(out, field::function::kOutput, output);
  for (const std::string& name : function.attributes) put_text(out, field::function::kAttribute, name);
  for (const Node& node : function.nodes) {
    put_message(out, field::function::kNode, [&] { write_node(out, node, /*external=*/nullptr); });
  }
  put_text_unless_empty(out, field::function::kDoc, function.doc);
  write_opsets(out, field::function::kOpsetImport, function.opset_imports);
  put_text_unless_empty(out, field::function::kDomain, function.domain);
  for (const Attribute& attribute : function.attribute_defaults) {
    put_message(out, field::function::kAttributeDefault,
                [&] { AttributeWriter(out, nullptr).write(attribute); });
  }
  write_values(out, field::function::kValueInfo, function.value_infos);
  put_text_unless_empty(out, field::function::kOverload, function.overload);
  put_metadata(out, field::function::kMetadata, function.metadata);
  out += function.unknown_fields;
}

void write_opsets(std::string& out, uint32_t number,
                  const std::vector<std::pair<std::string, int64_t>>& imports) {
  for (const auto& import : imports) {
    put_message(out, number, [&] {
      put_text(out, field::opset::kDomain, import.first);
      put_integer(out, field::opset::kVersion, import.second);
    });
  }
}

}  // namespace mc
