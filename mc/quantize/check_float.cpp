#include "mc/quantize/check_float.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "mc/base/error.h"

namespace mc {
namespace {

bool computes_on_integers(const Node& node) {
  constexpr std::array<std::string_view, 7> kParts = {
      "QuantizeLinear", "FakeQuantize", "QLinear", "QGemm", "QAttention", "NBits", "BlockQuantized"};
  const std::string& type = node.op_type;
  return std::ranges::any_of(kParts, [&](auto part) { return type.find(part) != std::string::npos; }) ||
         type.ends_with("Integer") || type.find("IntegerTo") != std::string::npos ||
         type == "DequantizeLinear" || type == "DynamicQuantizeMatMul";
}

}  // namespace

void check_float(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    MC_CHECK(
        !computes_on_integers(node),
        "{}: the model is already quantized; quantize the float model that it was made from, or use this "
        "one as it is",
        node.label());
  }
}

}  // namespace mc
