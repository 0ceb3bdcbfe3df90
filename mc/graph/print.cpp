#include <algorithm>

#include <fmt/format.h>

#include "mc/graph/graph.h"
#include "mc/graph/print_tensor.h"
#include "mc/graph/syntax.h"

namespace mc {
namespace {

class Printer {
 public:
  explicit Printer(bool full) : full_(full) {}

  std::string take() { return std::move(out_); }

  void model(const Model& model) {
    std::vector<std::string> head = {fmt::format("ir_version: {}", model.ir_version),
                                     "opset_import: " + opsets(model.opset_imports)};
    text_entry(head, "producer_name", model.producer_name);
    text_entry(head, "producer_version", model.producer_version);
    text_entry(head, "domain", model.domain);
    if (model.model_version != 0) head.push_back(fmt::format("model_version: {}", model.model_version));
    common_entries(head, model.doc, model.metadata, model.unknown_fields);
    out_ += fmt::format("<\n   {}\n>\n", fmt::join(head, ",\n   "));
    graph(model.graph);
    out_ += '\n';
    for (const Function& each : model.functions) function(each);
  }

 private:
  using Entries = std::vector<std::string>;

  static void text_entry(Entries& entries, const char* key, const std::string& text) {
    if (!text.empty()) entries.push_back(fmt::format("{}: {}", key, syntax::quoted(text)));
  }

  static std::string pairs(const Metadata& metadata) {
    Entries texts;
    for (const auto& [key, value] : metadata)
      texts.push_back(syntax::quoted(key) + ": " + syntax::quoted(value));
    return fmt::format("[{}]", fmt::join(texts, ", "));
  }

  static void common_entries(Entries& entries, const std::string& doc, const Metadata& metadata,
                             const std::string& unknown_fields) {
    text_entry(entries, "doc_string", doc);
    if (!metadata.empty()) entries.push_back("metadata_props: " + pairs(metadata));
    if (!unknown_fields.empty()) {
      entries.push_back(fmt::format("unknown_fields: \"{}\"", syntax::hexadecimal(unknown_fields)));
    }
  }

  static std::string annotation(const Entries& entries) {
    return entries.empty() ? "" : fmt::format(" @<{}>", fmt::join(entries, ", "));
  }

  static std::string annotation(const std::string& doc, const Metadata& metadata,
                                const std::string& unknown_fields) {
    Entries entries;
    common_entries(entries, doc, metadata, unknown_fields);
    return annotation(entries);
  }

  static std::string opsets(const std::vector<std::pair<std::string, int64_t>>& imports) {
    Entries texts;
    for (const auto& [domain, version] : imports)
      texts.push_back(fmt::format("{} : {}", syntax::quoted(domain), version));
    return fmt::format("[{}]", fmt::join(texts, ", "));
  }

  static std::string names(const std::vector<std::string>& list) {
    Entries texts;
    for (const std::string& each : list) texts.push_back(syntax::name(each));
    return fmt::format("{}", fmt::join(texts, ", "));
  }

  static std::string value(const ValueInfo& info) {
    const bool typed = info.type != Type{};
    return (typed ? to_string(info.type) + " " : "") + syntax::name(info.name) +
           annotation(info.doc, info.metadata, info.unknown_fields);
  }

  static std::string values(const std::vector<ValueInfo>& infos) {
    Entries texts;
    for (const ValueInfo& info : infos) texts.push_back(value(info));
    return fmt::format("{}", fmt::join(texts, ", "));
  }

  std::string tensor(const Tensor& tensor, const std::string& name, const char* between) const {
    return tensor_head(tensor, name) + between + tensor_data(tensor, full_) +
           annotation(tensor.doc, tensor.metadata, tensor.unknown_fields);
  }

  std::string sparse(const Attribute::Sparse& sparse, const std::string& name) const {
    Tensor shape_only;
    shape_only.dtype = sparse.values.dtype;
    shape_only.dims = sparse.dims;
    return fmt::format(
        "sparse_tensor({}){} = {{{}, {}}}{}", tensor_head(shape_only, ""),
        name.empty() ? "" : " " + syntax::name(name), tensor(sparse.values, sparse.values_name, " "),
        tensor(sparse.indices, sparse.indices_name, " "), annotation({}, {}, sparse.unknown_fields));
  }

  std::string indent() const { return std::string(static_cast<size_t>(3 * depth_), ' '); }

  void graph(const Graph& graph) {
    Entries notes;
    common_entries(notes, graph.doc, graph.metadata, graph.unknown_fields);
    if (!graph.quantization_annotations.empty()) notes.push_back(quantization(graph));
    out_ += fmt::format("{}{} ({}) => ({})", syntax::name(graph.name), annotation(notes),
                        values(graph.inputs), values(graph.outputs));
    ++depth_;
    Entries constants;
    for (const ValueInfo& info : graph.value_infos) constants.push_back(value(info));
    for (const Initializer& each : graph.initializers()) {
      constants.push_back(each.sparse ? sparse(each.sparse_value, each.name)
                                      : tensor(each.tensor, each.name, " = "));
    }
    if (!constants.empty()) {
      out_ +=
          fmt::format("\n{0}<\n{0}{0}{1}\n{0}>", indent(), fmt::join(constants, ",\n" + indent() + indent()));
    }
    out_ += '\n';
    --depth_;
    body(graph.nodes);
  }

  void body(const std::vector<Node>& nodes) {
    out_ += indent() + "{\n";
    ++depth_;
    for (const Node& each : nodes) node(each);
    --depth_;
    out_ += indent() + "}";
  }

  static std::string quantization(const Graph& graph) {
    Entries texts;
    for (const QuantizationAnnotation& each : graph.quantization_annotations) {
      Entries parts = {syntax::quoted(each.tensor_name)};
      for (const auto& [key, value] : each.entries)
        parts.push_back(syntax::quoted(key) + ": " + syntax::quoted(value));
      texts.push_back(fmt::format("[{}]", fmt::join(parts, ", ")));
    }
    return fmt::format("quantization_annotation: [{}]", fmt::join(texts, ", "));
  }

  // A domain is bare only as identifiers joined by dots.
  static std::string operator_name(const Node& node) {
    std::string text;
    if (!node.domain.empty()) {
      bool bare = true;
      for (size_t from = 0; from <= node.domain.size();) {
        const size_t dot = std::min(node.domain.find('.', from), node.domain.size());
        bare = bare && syntax::is_identifier(std::string_view(node.domain).substr(from, dot - from));
        from = dot + 1;
      }
      text = (bare ? node.domain : syntax::quoted(node.domain)) + ".";
    }
    text += syntax::is_identifier(node.op_type) ? node.op_type : syntax::quoted(node.op_type);
    if (!node.overload.empty()) text += ":" + syntax::name(node.overload);
    return text;
  }

  void node(const Node& node) {
    out_ += indent();
    if (!node.name.empty()) out_ += "[" + syntax::name(node.name) + "] ";
    out_ += names(node.outputs) + " = " + operator_name(node);
    const bool has_graph =
        std::ranges::any_of(node.attributes, [](const Attribute& a) { return !a.graphs().empty(); });
    if (!has_graph) attributes(node.attributes);
    out_ += " (" + names(node.inputs) + ")";
    if (has_graph) attributes(node.attributes);
    out_ += annotation(node.doc, node.metadata, node.unknown_fields) + "\n";
  }

  void attributes(const std::vector<Attribute>& list) {
    for (size_t i = 0; i < list.size(); ++i) {
      out_ += i == 0 ? " <" : ", ";
      attribute(list[i]);
    }
    if (!list.empty()) out_ += '>';
  }

  void attribute(const Attribute& attribute) {
    out_ += syntax::is_identifier(attribute.name) ? attribute.name : syntax::quoted(attribute.name);
    out_ += annotation(attribute.doc, {}, attribute.unknown_fields);
    const bool untyped = attribute.kind == Attribute::Kind::kUndefined && !attribute.ref.empty();
    if (!untyped) out_ += fmt::format(": {}", syntax::kind_name(attribute.kind));
    out_ += " = ";
    if (!attribute.ref.empty()) {
      out_ += "@" + syntax::name(attribute.ref);
    } else {
      std::visit([&](const auto& value) { one(value, attribute.tensor_name); }, attribute.value);
    }
  }

  void one(std::monostate, const std::string&) { out_ += "[]"; }
  void one(float value, const std::string&) { out_ += number_text(value); }
  void one(int64_t value, const std::string&) { out_ += std::to_string(value); }
  void one(const std::string& value, const std::string&) { out_ += syntax::quoted(value); }
  void one(const Tensor& value, const std::string& name) { out_ += tensor(value, name, " "); }
  void one(const Attribute::Sparse& value, const std::string&) { out_ += sparse(value, ""); }
  void one(const Type& value, const std::string&) { out_ += to_string(value); }
  void one(const std::shared_ptr<Graph>& value, const std::string&) {
    if (!value) return;
    ++depth_;
    graph(*value);
    --depth_;
  }

  template <class T>
  void one(const std::vector<T>& list, const std::string&) {
    out_ += '[';
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ", ";
      one(list[i], std::string());
    }
    out_ += ']';
  }

  void function(const Function& function) {
    Entries head = {"domain: " + syntax::quoted(function.domain),
                    "opset_import: " + opsets(function.opset_imports)};
    text_entry(head, "overload", function.overload);
    common_entries(head, function.doc, function.metadata, function.unknown_fields);
    out_ += fmt::format("<\n   {}\n>\n{}", fmt::join(head, ",\n   "), syntax::name(function.name));
    if (!function.attributes.empty() || !function.attribute_defaults.empty()) {
      out_ += " <" + names(function.attributes);
      for (size_t i = 0; i < function.attribute_defaults.size(); ++i) {
        if (i > 0 || !function.attributes.empty()) out_ += ", ";
        attribute(function.attribute_defaults[i]);
      }
      out_ += '>';
    }
    out_ += fmt::format(" ({}) => ({})", names(function.inputs), names(function.outputs));
    if (!function.value_infos.empty()) out_ += "\n   <" + values(function.value_infos) + ">";
    out_ += '\n';
    body(function.nodes);
    out_ += '\n';
  }

  bool full_;
  int depth_ = 0;
  std::string out_;
};

}  // namespace

std::string print(const Model& model, bool full) {
  Printer printer(full);
  printer.model(model);
  return printer.take();
}

bool operator==(const Model& a, const Model& b) {
  return print(a, true) == print(b, true);
}

}  // namespace mc
