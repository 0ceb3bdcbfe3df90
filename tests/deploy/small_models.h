// Small model files that the tests of this room write for themselves.
#pragma once

#include <filesystem>
#include <string>

#include <ATen/Functions.h>

#include "mc/graph/graph.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/slot.h"
#include "tests/base/temporary_folder.h"

namespace mc {

// A 3x3 convolution, Relu, mean over the picture, and a linear layer to `classes`.
struct SmallNet {
  at::Tensor conv_weight, conv_bias, weight, bias;

  explicit SmallNet(uint64_t seed, int64_t classes = 5) {
    at::manual_seed(seed);
    conv_weight = at::randn({8, 3, 3, 3}) * 0.3;
    conv_bias = at::randn({8}) * 0.1;
    weight = at::randn({classes, 8});
    bias = at::randn({classes});
  }

  // What the network gives, by ATen's own functions.
  at::Tensor expected(const at::Tensor& x) const {
    at::Tensor h = at::relu(at::conv2d(x, conv_weight, conv_bias, {1, 1}, {1, 1}));
    return at::linear(h.mean({2, 3}), weight, bias);
  }

  Model model(const std::string& batch = "N") const {
    Model model = parse_model(
        "<ir_version: 8, opset_import: [\"\" : 17]>\n"
        "small (float[" +
        batch + ",3,8,8] x) => (float[" + batch +
        ",C] y) {\n"
        "  [conv] c = Conv<pads = [1, 1, 1, 1]>(x, conv_weight, conv_bias)\n"
        "  [relu] r = Relu(c)\n"
        "  [pool] p = GlobalAveragePool(r)\n"
        "  [flat] f = Flatten(p)\n"
        "  [linear] y = Gemm<transB = 1>(f, weight, bias)\n"
        "}");
    model.graph.add_initializer("conv_weight", to_constant(conv_weight));
    model.graph.add_initializer("conv_bias", to_constant(conv_bias));
    model.graph.add_initializer("weight", to_constant(weight));
    model.graph.add_initializer("bias", to_constant(bias));
    return model;
  }
};

// One convolution between QuantizeLinear and DequantizeLinear, as targets want it: u8 activations, s8 weights
// by channel, int32 bias.
inline Model quantized_conv() {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]>
quantized (float[N,3,8,8] x) => (float[N,4,8,8] y)
<float sx = {0.05}, uint8 zx = {128}, float sy = {0.1}, uint8 zy = {128}> {
  qx = QuantizeLinear(x, sx, zx)
  dx = DequantizeLinear(qx, sx, zx)
  dw = DequantizeLinear<axis = 0>(w, sw, zw)
  db = DequantizeLinear<axis = 0>(b, sb, zb)
  [conv] c = Conv<pads = [1, 1, 1, 1]>(dx, dw, db)
  qc = QuantizeLinear(c, sy, zy)
  y = DequantizeLinear(qc, sy, zy)
})");
  at::manual_seed(3);
  const at::Tensor scale = at::full({4}, 0.01);
  Graph& graph = model.graph;
  graph.add_initializer("w", to_constant(at::randint(-127, 128, {4, 3, 3, 3}).to(at::kChar)));
  graph.add_initializer("sw", to_constant(scale));
  graph.add_initializer("zw", to_constant(at::zeros({4}, at::kChar)));
  graph.add_initializer("b", to_constant(at::randint(-500, 500, {4}).to(at::kInt)));
  graph.add_initializer("sb", to_constant(scale * 0.05));
  graph.add_initializer("zb", to_constant(at::zeros({4}, at::kInt)));
  return model;
}

}  // namespace mc
