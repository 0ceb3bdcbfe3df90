#include <bit>
#include <cstring>
#include <limits>

#include "mc/graph/element.h"
#include "mc/graph/parser.h"
#include "mc/graph/syntax.h"

namespace mc {
namespace {

constexpr uint64_t kLargestOmitted = uint64_t{1} << 31;  // bytes of a constant whose data the text leaves out

using Kind = Attribute::Kind;

// "ints" -> "int"; a kind that is no list has none.
std::optional<Kind> element_kind(Kind list) {
  switch (list) {
    case Kind::kFloats:
      return Kind::kFloat;
    case Kind::kInts:
      return Kind::kInt;
    case Kind::kStrings:
      return Kind::kString;
    case Kind::kTensors:
      return Kind::kTensor;
    case Kind::kGraphs:
      return Kind::kGraph;
    case Kind::kSparseTensors:
      return Kind::kSparseTensor;
    case Kind::kTypes:
      return Kind::kType;
    default:
      return std::nullopt;
  }
}

template <class T>
void append(Attribute& list, Attribute& item, Kind kind) {
  if (list.kind != kind) list.value = std::vector<T>{};
  list.kind = kind;
  std::get<std::vector<T>>(list.value).push_back(std::move(std::get<T>(item.value)));
}

void append(Attribute& list, Attribute& item) {
  switch (item.kind) {
    case Kind::kFloat:
      return append<float>(list, item, Kind::kFloats);
    case Kind::kInt:
      return append<int64_t>(list, item, Kind::kInts);
    case Kind::kString:
      return append<std::string>(list, item, Kind::kStrings);
    case Kind::kTensor:
      return append<Tensor>(list, item, Kind::kTensors);
    case Kind::kGraph:
      return append<std::shared_ptr<Graph>>(list, item, Kind::kGraphs);
    case Kind::kSparseTensor:
      return append<Attribute::Sparse>(list, item, Kind::kSparseTensors);
    default:
      return append<Type>(list, item, Kind::kTypes);
  }
}

void make_empty(Attribute& list) {
  switch (list.kind) {
    case Kind::kFloats:
      list.value = std::vector<float>{};
      break;
    case Kind::kInts:
      list.value = std::vector<int64_t>{};
      break;
    case Kind::kStrings:
      list.value = std::vector<std::string>{};
      break;
    case Kind::kTensors:
      list.value = std::vector<Tensor>{};
      break;
    case Kind::kGraphs:
      list.value = std::vector<std::shared_ptr<Graph>>{};
      break;
    case Kind::kSparseTensors:
      list.value = std::vector<Attribute::Sparse>{};
      break;
    case Kind::kTypes:
      list.value = std::vector<Type>{};
      break;
    default:
      break;
  }
}

}  // namespace

bool Parser::next_is_type() {
  return syntax::is_type_word(lexer_.peek_identifier());
}

DType Parser::element_type(size_t position, const std::string& word) {
  if (word == dtype_name(DType::kUndefined)) return DType::kUndefined;
  return placed(position, [&] { return dtype_from_name(word); });
}

DType Parser::element_type() {
  const size_t position = lexer_.position();
  return element_type(position, lexer_.identifier("an element type"));
}

Type Parser::type() {
  const Nesting nesting(*this);
  const size_t position = lexer_.position();
  const std::string word = lexer_.identifier("a type");
  Type result;
  if (word == "seq" || word == "optional" || word == "map") {
    lexer_.expect('(', "after the type's name");
    result.kind = word == "seq"   ? Type::Kind::kSequence
                  : word == "map" ? Type::Kind::kMap
                                  : Type::Kind::kOptional;
    if (word == "map") {
      result.dtype = element_type();
      lexer_.expect(',', "between the types of keys and values");
    }
    Type inner = type();
    if (inner != Type{}) result.element = std::make_shared<const Type>(std::move(inner));
    lexer_.expect(')', "after the inner type");
  } else if (word == "sparse_tensor") {
    lexer_.expect('(', "after 'sparse_tensor'");
    result = tensor_type(element_type());
    result.kind = Type::Kind::kSparseTensor;
    lexer_.expect(')', "after the inner type");
  } else if (word == "opaque") {
    lexer_.expect('(', "after 'opaque'");
    lexer_.expect(')', "after 'opaque(' (names of opaque types stand in unknown_fields)");
  } else {
    result = tensor_type(element_type(position, word));
  }
  type_extras(result.denotation, result.unknown_fields);
  return result;
}

Type Parser::tensor_type(DType dtype) {
  if (!lexer_.accept('[')) return Type::tensor(dtype, Shape{});
  if (lexer_.accept(']')) return Type::tensor(dtype);
  Shape shape;
  do {
    shape.push_back(dimension());
  } while (lexer_.accept(','));
  lexer_.expect(']', "after the dimensions");
  return Type::tensor(dtype, std::move(shape));
}

Dim Parser::dimension() {
  Dim dim;
  if (lexer_.next_is_name()) {
    dim.symbol = lexer_.name("a dimension");
  } else if (!lexer_.accept('?')) {
    const size_t position = lexer_.position();
    dim.value = lexer_.integer();
    if (dim.value < 0) lexer_.fail_at(position, "a dimension is at least 0");
  }
  type_extras(dim.denotation, dim.unknown_fields);
  return dim;
}

void Parser::type_extras(std::string& denotation, std::string& unknown_fields) {
  if (lexer_.accept("@\"")) {
    lexer_.step_back();
    denotation = lexer_.quoted("a denotation");
  }
  unknown_fields = annotation().unknown_fields;
}

Tensor Parser::tensor(const Type& type) {
  const size_t position = lexer_.position();
  if (!type.is_tensor() || !type.shape)
    lexer_.fail_at(position, "a constant needs a tensor type with dimensions");
  Tensor tensor;
  tensor.dtype = type.dtype;
  for (const Dim& dim : *type.shape) {
    if (!dim.known()) lexer_.fail_at(position, "the dimensions of a constant are numbers");
    tensor.dims.push_back(dim.value);
  }
  elements(tensor);
  Annotation rest = annotation();
  tensor.doc = std::move(rest.doc);
  tensor.metadata = std::move(rest.metadata);
  tensor.unknown_fields = std::move(rest.unknown_fields);
  return tensor;
}

Tensor Parser::named_tensor(std::string& name) {
  const Type parsed = type();
  if (lexer_.next_is_name()) name = lexer_.name("the name of a tensor");
  lexer_.accept('=');
  return tensor(parsed);
}

Attribute::Sparse Parser::sparse(const Type& type) {
  Attribute::Sparse sparse;
  if (!type.shape) lexer_.fail_here("a sparse constant needs dimensions");
  for (const Dim& dim : *type.shape) {
    if (!dim.known()) lexer_.fail_here("the dimensions of a sparse constant are numbers");
    sparse.dims.push_back(dim.value);
  }
  lexer_.expect('{', "before the values of a sparse constant");
  sparse.values = named_tensor(sparse.values_name);
  lexer_.expect(',', "between values and indices");
  sparse.indices = named_tensor(sparse.indices_name);
  lexer_.expect('}', "after the indices");
  sparse.unknown_fields = annotation().unknown_fields;
  return sparse;
}

void Parser::elements(Tensor& tensor) {
  const size_t position = lexer_.position();
  const auto count = static_cast<uint64_t>(placed(position, [&] { return tensor.count(); }));
  const bool complex = tensor.dtype == DType::kComplex64 || tensor.dtype == DType::kComplex128;
  const uint64_t bytes = placed(position, [&] { return dtype_bytes(tensor.dtype, count); });
  const uint64_t numbers = complex ? 2 * count : count;
  const bool is_string = tensor.dtype == DType::kString;
  if (!is_string && dtype_bits(tensor.dtype) == 0) lexer_.fail_here("a constant needs a known element type");

  // Data that the text leaves out is zeros.
  if (lexer_.peek() == '[') {
    pairs();
    if (bytes > kLargestOmitted || (is_string && count > kLargestOmitted / sizeof(std::string))) {
      lexer_.fail_at(position, "a constant without its data is at most 2 GB");
    }
    std::byte* writable = nullptr;
    tensor.data = Buffer::allocate(bytes, writable);
    std::memset(writable, 0, bytes);
    if (is_string) tensor.strings.resize(count);
    return;
  }
  lexer_.expect('{', "before the elements of a constant");
  // Each element takes a character of text, so no more than the text's size is ever allocated.
  std::vector<std::byte> data;
  uint64_t found = 0;
  if (!lexer_.accept('}')) {
    do {
      if (found < numbers) element(tensor, data, found);
      ++found;
      if (found > numbers)
        lexer_.fail_at(position, fmt::format("more than the {} elements of its type", numbers));
    } while (lexer_.accept(','));
    lexer_.expect('}', "after the elements of a constant");
  }
  if (found != numbers)
    lexer_.fail_at(position, fmt::format("{} elements where its type has {}", found, numbers));
  if (!is_string) tensor.data = Buffer::copy_of(data);
}

void Parser::element(Tensor& tensor, std::vector<std::byte>& data, uint64_t index) {
  if (tensor.dtype == DType::kString) {
    tensor.strings.push_back(lexer_.quoted("a string"));
    return;
  }
  DType type = tensor.dtype;
  if (type == DType::kComplex64) type = DType::kFloat;
  if (type == DType::kComplex128) type = DType::kDouble;
  const int bits = dtype_bits(type);
  data.resize(dtype_bytes(type, index + 1));
  const auto store = [&](uint64_t value) { store_bits(data, bits, index, value); };

  if (type == DType::kFloat) return store(std::bit_cast<uint32_t>(lexer_.single()));
  if (type == DType::kDouble) return store(std::bit_cast<uint64_t>(lexer_.real()));
  if (type == DType::kUInt64) return store(lexer_.unsigned_integer());
  const size_t position = lexer_.position();
  if (type == DType::kFloat16 || type == DType::kBFloat16) {
    Lexer ahead = lexer_;
    if (ahead.number().is_float) {
      const double value = lexer_.real();
      return store(type == DType::kFloat16 ? encode_float16(value) : encode_bfloat16(value));
    }
  }
  const int64_t value = lexer_.integer();
  const bool is_signed = dtype_is_signed_integer(type);
  const int64_t low = is_signed ? std::numeric_limits<int64_t>::min() >> (64 - bits) : 0;
  const int64_t high =
      is_signed ? std::numeric_limits<int64_t>::max() >> (64 - bits) : (int64_t{1} << bits) - 1;
  if (value < low || value > high) {
    lexer_.fail_at(position, fmt::format("{} is outside the range of {}", value, dtype_name(type)));
  }
  store(static_cast<uint64_t>(value));
}

Attribute Parser::attribute() {
  return attribute_after(lexer_.name("the name of an attribute"));
}

Attribute Parser::attribute_after(std::string name) {
  Attribute attribute;
  attribute.name = std::move(name);
  Annotation rest = annotation();
  attribute.doc = std::move(rest.doc);
  attribute.unknown_fields = std::move(rest.unknown_fields);
  const size_t position = lexer_.position();
  const bool annotated = lexer_.accept(':');
  if (annotated) {
    const std::string word = lexer_.identifier("the kind of an attribute");
    const std::optional<Kind> kind = syntax::kind_from_name(word);
    if (!kind) lexer_.fail_at(position, fmt::format("'{}' is no kind of attribute", word));
    attribute.kind = *kind;
  }
  lexer_.expect('=', "after the name of an attribute");
  if (lexer_.accept('[')) {
    attribute_list(attribute, annotated);
  } else {
    attribute_value(attribute, attribute.kind);
  }
  return attribute;
}

void Parser::attribute_list(Attribute& attribute, bool annotated) {
  const size_t position = lexer_.position();
  make_empty(attribute);
  if (lexer_.accept(']')) {
    if (annotated) return;
    lexer_.fail_at(position, fmt::format("write '{}: ints = []' or the like: an empty list needs its kind",
                                         attribute.name));
  }
  if (attribute.kind != Kind::kUndefined && !element_kind(attribute.kind)) {
    lexer_.fail_at(position, fmt::format("attribute '{}' of kind {} holds no list", attribute.name,
                                         syntax::kind_name(attribute.kind)));
  }
  do {
    Attribute item;
    attribute_value(item, element_kind(attribute.kind).value_or(Kind::kUndefined));
    if (!item.ref.empty()) lexer_.fail_at(position, "an attribute reference stands alone, not in a list");
    append(attribute, item);
  } while (lexer_.accept(','));
  lexer_.expect(']', "at the end of a list");
}

void Parser::attribute_value(Attribute& attribute, Kind expected) {
  const size_t position = lexer_.position();
  if (lexer_.accept('@')) {
    attribute.ref = lexer_.name("the attribute of the function around it");
    return;
  }
  if (lexer_.next_is_name() && (lexer_.peek() != '"' || expected == Kind::kGraph)) {
    word_value(attribute, expected);
  } else if (lexer_.peek() == '"') {
    attribute.kind = Kind::kString;
    attribute.value = lexer_.quoted("a string");
  } else {
    Lexer ahead = lexer_;
    if (ahead.number().is_float || expected == Kind::kFloat) {
      attribute.kind = Kind::kFloat;
      attribute.value = lexer_.single();
    } else {
      attribute.kind = Kind::kInt;
      attribute.value = lexer_.integer();
    }
  }
  if (expected != Kind::kUndefined && attribute.kind != expected) {
    lexer_.fail_at(position, fmt::format("expected a value of kind {}, this is one of kind {}",
                                         syntax::kind_name(expected), syntax::kind_name(attribute.kind)));
  }
}

// A value that begins with a word: a number such as nan, a type, a constant, a graph.
void Parser::word_value(Attribute& attribute, Kind expected) {
  const std::string_view word = lexer_.peek_identifier();
  if (syntax::is_float_word(word)) {
    attribute.kind = Kind::kFloat;
    attribute.value = lexer_.single();
    return;
  }
  if (!next_is_type()) {
    attribute.kind = Kind::kGraph;
    attribute.value = std::make_shared<Graph>(graph());
    return;
  }
  Type parsed = type();
  const bool is_constant =
      expected == Kind::kTensor || lexer_.peek() == '{' || lexer_.peek() == '=' || lexer_.next_is_name();
  if (parsed.kind == Type::Kind::kSparseTensor && is_constant) {
    lexer_.accept('=');
    attribute.kind = Kind::kSparseTensor;
    attribute.value = sparse(parsed);
  } else if (is_constant) {
    if (lexer_.next_is_name()) attribute.tensor_name = lexer_.name("the name of a tensor");
    lexer_.accept('=');
    attribute.kind = Kind::kTensor;
    attribute.value = tensor(parsed);
  } else {
    attribute.kind = Kind::kType;
    attribute.value = std::move(parsed);
  }
}

}  // namespace mc
