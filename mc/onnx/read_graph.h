// GraphProto, NodeProto, AttributeProto and FunctionProto -> Graph, Node, Attribute and Function.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "mc/onnx/read_tensor.h"

namespace mc {

using OpsetImports = std::vector<std::pair<std::string, int64_t>>;

// Merges the message into `graph`, as protobuf merges repeated occurrences of a field.
void read_graph(std::string_view message, TensorSource& source, Graph& graph, int depth = 1);
Function read_function(std::string_view message, TensorSource& source);

// One opset import; refuses versions newer than we know.
void read_opset(std::string_view message, OpsetImports& imports);

}  // namespace mc
