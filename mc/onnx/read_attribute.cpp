#include "mc/onnx/read_attribute.h"

#include "mc/base/error.h"
#include "mc/onnx/read_graph.h"
#include "mc/onnx/schema.h"

namespace mc {
namespace {

using Kind = Attribute::Kind;

class AttributeReader {
 public:
  AttributeReader(TensorSource& source, int depth) : source_(source), depth_(depth) {}

  Attribute read(std::string_view message) {
    Fields fields(message, "AttributeProto");
    while (fields.next()) {
      switch (fields.number()) {
        case field::attribute::kName:
          attribute_.name = fields.text();
          break;
        case field::attribute::kDoc:
          attribute_.doc = fields.text();
          break;
        case field::attribute::kRef:
          attribute_.ref = fields.text();
          break;
        case field::attribute::kKind:
          kind(fields.integer());
          break;
        case field::attribute::kFloat:
          value<float>(Kind::kFloat) = fields.single();
          break;
        case field::attribute::kInt:
          value<int64_t>(Kind::kInt) = fields.integer();
          break;
        case field::attribute::kString:
          value<std::string>(Kind::kString) = fields.text();
          break;
        case field::attribute::kFloats:
          fields.singles(value<std::vector<float>>(Kind::kFloats));
          break;
        case field::attribute::kInts:
          fields.integers(value<std::vector<int64_t>>(Kind::kInts));
          break;
        case field::attribute::kStrings:
          list<std::string>(Kind::kStrings).push_back(fields.text());
          break;
        case field::attribute::kTensor:
          value<Tensor>(Kind::kTensor) = read_tensor(fields.bytes(), source_, attribute_.tensor_name);
          break;
        case field::attribute::kTensors:
          list<Tensor>(Kind::kTensors).push_back(listed_tensor(fields.bytes()));
          break;
        case field::attribute::kSparse:
          value<Attribute::Sparse>(Kind::kSparseTensor) = read_sparse(fields.bytes(), source_);
          break;
        case field::attribute::kSparses:
          list<Attribute::Sparse>(Kind::kSparseTensors).push_back(read_sparse(fields.bytes(), source_));
          break;
        case field::attribute::kGraph:
          read_graph(fields.bytes(), source_, single_graph(), depth_ + 1);
          break;
        case field::attribute::kGraphs:
          read_graph(fields.bytes(), source_, listed_graph(), depth_ + 1);
          break;
        case field::attribute::kType:
          read_type(fields.bytes(), value<Type>(Kind::kType));
          break;
        case field::attribute::kTypes:
          read_type(fields.bytes(), list<Type>(Kind::kTypes).emplace_back());
          break;
        default:
          fields.keep(attribute_.unknown_fields);
          break;
      }
    }
    finish();
    return std::move(attribute_);
  }

 private:
  void kind(int64_t number) {
    MC_CHECK(number >= 0 && number <= static_cast<int64_t>(Kind::kTypes), "its type {} is unknown", number);
    declared_ = static_cast<Kind>(number);
  }

  // The value of the kind that the current field implies.
  template <class T>
  T& value(Kind kind) {
    MC_CHECK(attribute_.kind == Kind::kUndefined || attribute_.kind == kind, "it has values of two kinds");
    if (attribute_.kind == Kind::kUndefined) attribute_.value = T{};
    attribute_.kind = kind;
    return std::get<T>(attribute_.value);
  }

  template <class T>
  std::vector<T>& list(Kind kind) {
    return value<std::vector<T>>(kind);
  }

  Graph& single_graph() {
    auto& pointer = value<std::shared_ptr<Graph>>(Kind::kGraph);
    if (!pointer) pointer = std::make_shared<Graph>();
    return *pointer;
  }

  Graph& listed_graph() {
    return *list<std::shared_ptr<Graph>>(Kind::kGraphs).emplace_back(std::make_shared<Graph>());
  }

  // A name in a list of tensors has no place in Tensor: it stays a raw field.
  Tensor listed_tensor(std::string_view message) {
    std::string name;
    Tensor tensor = read_tensor(message, source_, name);
    keep_wrapped(tensor.unknown_fields, field::tensor::kName, name);
    return tensor;
  }

  // Files before IR version 2 name no kind; writers of proto3 leave out values that are zero or empty.
  void finish() {
    MC_CHECK(attribute_.ref.empty() || attribute_.kind == Kind::kUndefined,
             "it has a value and refers to attribute '{}' of the function around it", attribute_.ref);
    if (declared_ == Kind::kUndefined) return;
    if (attribute_.kind == Kind::kUndefined) {
      attribute_.kind = declared_;
      if (attribute_.ref.empty()) set_default();
    }
    MC_CHECK(attribute_.kind == declared_, "its value is not of its declared type {}",
             static_cast<int>(declared_));
  }

  void set_default() {
    switch (declared_) {
      case Kind::kFloat:
        attribute_.value = 0.0f;
        break;
      case Kind::kInt:
        attribute_.value = int64_t{0};
        break;
      case Kind::kString:
        attribute_.value = std::string();
        break;
      case Kind::kFloats:
        attribute_.value = std::vector<float>();
        break;
      case Kind::kInts:
        attribute_.value = std::vector<int64_t>();
        break;
      case Kind::kStrings:
        attribute_.value = std::vector<std::string>();
        break;
      case Kind::kTensors:
        attribute_.value = std::vector<Tensor>();
        break;
      case Kind::kGraphs:
        attribute_.value = std::vector<std::shared_ptr<Graph>>();
        break;
      case Kind::kSparseTensors:
        attribute_.value = std::vector<Attribute::Sparse>();
        break;
      case Kind::kTypes:
        attribute_.value = std::vector<Type>();
        break;
      default:
        fail("it has no value");
    }
  }

  TensorSource& source_;
  int depth_;
  Attribute attribute_;
  Kind declared_ = Kind::kUndefined;
};

}  // namespace

Attribute read_attribute(std::string_view message, TensorSource& source, int depth) {
  return with_context([&] { return "attribute '" + peek_text(message, field::attribute::kName) + "'"; },
                      [&] { return AttributeReader(source, depth).read(message); });
}

}  // namespace mc
