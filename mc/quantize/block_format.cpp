#include "mc/quantize/block_format.h"

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/slot.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

// Codes in any shape as an ONNX constant of 4 or 8 bits.
Tensor code_constant(const at::Tensor& codes, const BlockGrid& grid) {
  Tensor tensor = to_constant(codes);
  if (grid.bits == 4) tensor.data = to_constant(pack_codes(codes.flatten(), 4)).data;
  if (grid.symmetric) {
    tensor.dtype = grid.bits == 4 ? DType::kInt4 : DType::kInt8;
  } else {
    tensor.dtype = grid.bits == 4 ? DType::kUInt4 : DType::kUInt8;
  }
  return tensor;
}

// Signed codes in two's complement of `bits`: flipping the top bit takes the middle away.
at::Tensor stored_codes(const at::Tensor& codes, const BlockGrid& grid) {
  return grid.symmetric ? codes.bitwise_xor(grid.middle()) : codes;
}

std::string add_constant(Graph& graph, const std::string& wanted, Tensor tensor) {
  const std::string name = graph.unique_value_name(wanted);
  graph.add_initializer(name, std::move(tensor));
  return name;
}

// Microsoft's codes are rows of whole blocks.
at::Tensor filled_rows(const at::Tensor& codes, const BlockGrid& grid) {
  const int64_t inner = codes.size(1);
  return at::constant_pad_nd(codes, {0, grid.blocks(inner) * grid.block - inner});
}

}  // namespace

at::Tensor pack_codes(const at::Tensor& codes, int64_t bits) {
  if (bits == 8) return codes.contiguous();
  MC_CHECK(bits == 4, "codes of {} bits cannot be packed; 4 and 8 can", bits);
  const at::Tensor even = at::constant_pad_nd(codes, {0, codes.size(-1) % 2}).contiguous();
  const at::Tensor pairs = even.unflatten(-1, {-1, 2});
  return pairs.select(-1, 0).bitwise_or(pairs.select(-1, 1).bitwise_left_shift(4)).contiguous();
}

Node to_dequantize(Graph& graph, const MatrixLayer& layer, const BlockWeight& weight, const BlockGrid& grid) {
  Node& node = graph.nodes[layer.node];
  std::string& port = node.inputs[layer.gather ? 0 : 1];
  const auto layout = [&](const at::Tensor& x) { return (layer.rows_first ? x : x.t()).contiguous(); };
  Node dequantize;
  dequantize.op_type = "DequantizeLinear";
  dequantize.outputs = {graph.unique_value_name(port + "_dequantized")};
  dequantize.name = graph.unique_node_name(dequantize.outputs[0] + "/DequantizeLinear");
  const at::Tensor codes = layout(stored_codes(weight.codes, grid));
  const std::string type = (grid.symmetric ? "_int" : "_uint") + std::to_string(grid.bits);
  dequantize.inputs = {add_constant(graph, port + type, code_constant(codes, grid)),
                       add_constant(graph, port + "_scale", to_constant(layout(weight.scale)))};
  if (!grid.symmetric) {
    const at::Tensor zero = layout(weight.zero.to(at::kByte));
    dequantize.inputs.push_back(add_constant(graph, port + "_zero_point", code_constant(zero, grid)));
  }
  dequantize.set({"axis", layer.rows_first ? 1 : 0});
  dequantize.set({"block_size", grid.block});
  port = dequantize.outputs[0];
  return dequantize;
}

void to_matmul_nbits(Graph& graph, const MatrixLayer& layer, const BlockWeight& weight,
                     const BlockGrid& grid) {
  Node& node = graph.nodes[layer.node];
  const int64_t rows = weight.codes.size(0), inner = weight.codes.size(1);
  const std::string base = node.inputs[layer.gather ? 0 : 1];
  at::Tensor codes =
      layer.gather
          ? pack_codes(weight.codes, grid.bits)
          : pack_codes(filled_rows(weight.codes, grid), grid.bits).reshape({rows, grid.blocks(inner), -1});
  const std::string packed =
      add_constant(graph, base + "_" + std::to_string(grid.bits) + "bit", to_constant(codes));
  const std::string scale = add_constant(graph, base + "_scale", to_constant(weight.scale.contiguous()));
  std::string zero;
  if (!grid.symmetric) {
    zero = add_constant(graph, base + "_zero_point",
                        to_constant(pack_codes(weight.zero.to(at::kByte), grid.bits)));
  }
  const std::string bias = layer.gather ? "" : node.input(2), other = node.inputs[layer.gather ? 1 : 0];
  add_source(node, node);
  node.domain = "com.microsoft";
  node.attributes.clear();
  node.set({"bits", grid.bits});
  node.set({"block_size", grid.block});
  if (layer.gather) {
    node.op_type = "GatherBlockQuantized";
    node.inputs = {packed, other, scale};
    node.set({"gather_axis", 0});
    node.set({"quantize_axis", 1});
  } else {
    node.op_type = "MatMulNBits";
    node.inputs = {other, packed, scale};
    node.set({"K", inner});
    node.set({"N", rows});
  }
  if (!zero.empty()) node.inputs.push_back(zero);
  if (bias.empty()) return;
  node.inputs.resize(6);
  node.inputs[5] = bias;
}

}  // namespace mc
