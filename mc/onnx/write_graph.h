// Graph and Function -> GraphProto and FunctionProto. Each appends the message's content to `out`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mc/onnx/write_tensor.h"

namespace mc {

void write_graph(std::string& out, const Graph& graph, ExternalWriter* external);
void write_function(std::string& out, const Function& function);
void write_opsets(std::string& out, uint32_t number,
                  const std::vector<std::pair<std::string, int64_t>>& imports);

}  // namespace mc
