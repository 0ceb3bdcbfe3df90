// Types of values: tensors with partly known shapes, sequences, optionals, maps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mc/graph/dtype.h"

namespace mc {

// One dimension: a number, a symbol ("batch"), or unknown.
struct Dim {
  int64_t value = -1;
  std::string symbol;
  std::string denotation;
  std::string unknown_fields;  // protobuf bytes that we do not know

  Dim() = default;
  Dim(int64_t v) : value(v) {}                        // NOLINT: a number is a dimension
  Dim(std::string name) : symbol(std::move(name)) {}  // NOLINT
  bool known() const { return value >= 0; }
  bool operator==(const Dim&) const = default;
};

using Shape = std::vector<Dim>;

struct Type {
  enum class Kind { kUnknown, kTensor, kSparseTensor, kSequence, kOptional, kMap };

  Kind kind = Kind::kUnknown;
  DType dtype = DType::kUndefined;      // of a tensor; of the keys of a map
  std::optional<Shape> shape;           // of a tensor; empty: rank unknown
  std::shared_ptr<const Type> element;  // of a sequence, an optional, the values of a map
  std::string denotation;
  std::string unknown_fields;  // protobuf bytes that we do not know; an opaque type is kept so

  static Type tensor(DType dtype, std::optional<Shape> shape = std::nullopt);
  bool is_tensor() const { return kind == Kind::kTensor; }
  bool operator==(const Type& other) const;
};

std::string to_string(const Dim& dim);      // "3", "batch" or "?"
std::string to_string(const Shape& shape);  // "[batch,3,32,32]"
// As ONNX's text syntax writes types: "float[batch,3,32,32]", "float" for a scalar, "float[]" when the rank
// is unknown, "seq(float[N])", "map(string, float)", "optional(float)".
std::string to_string(const Type& type);

}  // namespace mc
