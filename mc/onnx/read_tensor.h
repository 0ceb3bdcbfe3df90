// TensorProto, SparseTensorProto and TypeProto -> Tensor, Sparse and Type.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mc/graph/graph.h"
#include "mc/onnx/external_data.h"
#include "mc/onnx/fields.h"

namespace mc {

// What reading a tensor needs besides its message.
struct TensorSource {
  std::shared_ptr<const void> owner;  // keeps the file's bytes alive
  ExternalFiles external;
};

// Sets `name` to the tensor's own name.
Tensor read_tensor(std::string_view message, TensorSource& source, std::string& name);
Attribute::Sparse read_sparse(std::string_view message, TensorSource& source);

// Merges the message into `type`, as protobuf merges repeated occurrences of a field.
void read_type(std::string_view message, Type& type, int depth = 1);

// One key and value of the current field; an entry with more than that is kept in `unknown_fields`.
void read_entry(Fields& fields, Metadata& metadata, std::string& unknown_fields);

}  // namespace mc
