// Layers with weights, pooling, normalizations, attention.
#include "tests/ops/gradient_cases.h"

namespace mc::testing {

std::vector<GradientCase> layer_gradient_cases() {
  const CaseInput image = real({1, 2, 5, 5}), scale = real({3}, 0.5, 2), bias = real({3});
  return {
      {"y = Conv <pads = [1, 1, 1, 1]> (x, w, b)", {image, real({3, 2, 3, 3}), bias}},
      {"y = Conv <strides = [2, 2], pads = [1, 0, 0, 1]> (x, w)", {image, real({3, 2, 3, 3})}},
      {"y = Conv <group = 2, dilations = [2]> (x, w)", {real({1, 2, 7}), real({4, 1, 3})}},
      {"y = Conv (x, w)", {real({1, 1, 3, 3, 3}), real({2, 1, 2, 2, 2})}},
      {"y = ConvTranspose <strides = [2, 2]> (x, w, b)", {real({1, 2, 3, 3}), real({2, 3, 2, 2}), bias}},
      {"y = ConvTranspose <pads = [1, 0], output_padding = [1], strides = [2]> (x, w)",
       {real({1, 2, 4}), real({2, 1, 3})}},

      {"y = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (a, b, c)", {real({2, 3}), real({4, 3}), real({4})}},
      {"y = Gemm <transA = 1> (a, b)", {real({3, 2}), real({3, 4})}},
      {"y = MatMul (a, b)", {real({2, 2, 3}), real({3, 2})}},
      {"y = MatMul (a, b)", {real({3}), real({3})}},
      {"y = Einsum <equation = \"bij,bjk->ik\"> (a, b)", {real({2, 2, 3}), real({2, 3, 2})}},

      {"y = MaxPool <kernel_shape = [2, 2], strides = [1, 2]> (x)", {image}},
      {"y = MaxPool <kernel_shape = [3], pads = [2, 1]> (x)", {real({1, 2, 5})}},
      {"y = AveragePool <kernel_shape = [2, 2], pads = [1, 0, 0, 1]> (x)", {image}},
      {"y = AveragePool <kernel_shape = [2], dilations = [2]> (x)", {real({1, 2, 6})}},
      {"y = LpPool <kernel_shape = [2, 2], p = 3> (x)", {real({1, 1, 3, 3}, 0.2, 2)}},
      {"y = GlobalAveragePool (x)", {image}},
      {"y = GlobalMaxPool (x)", {image}},
      {"y = GlobalLpPool (x)", {image}},

      {"y = BatchNormalization (x, s, b, m, v)",
       {real({2, 3, 2}), scale, bias, held({3}), held({3}, 0.5, 2)}},
      {.text = "y = BatchNormalization (x, s, b, m, v)",
       .inputs = {real({3, 3, 2}), scale, bias, held({3}), held({3}, 0.5, 2)},
       .training = true},
      {"y = InstanceNormalization (x, s, b)", {real({2, 3, 4}), scale, bias}},
      {"y = LayerNormalization (x, s, b)", {real({2, 3}), scale, bias}},
      {"y = LayerNormalization <axis = 1> (x, s)", {real({2, 2, 3}), real({2, 3})}},
      {"y = LayerNormalization (x, s, b)", {real({2, 3}), scale, bias}, 14},
      {"y = GroupNormalization <num_groups = 2> (x, s, b)", {real({2, 4, 3}), real({4}, 0.5, 2), real({4})}},
      {"y = GroupNormalization <num_groups = 2> (x, s, b)",
       {real({2, 4, 3}), real({2}, 0.5, 2), real({2})},
       18},
      {"y = RMSNormalization (x, s)", {real({2, 3}), scale}, 23},
      {"y = LpNormalization (x)", {real({2, 3})}},
      {"y = LpNormalization <p = 1, axis = 0> (x)", {real({2, 3})}},
      {"y = LRN <size = 3, alpha = 0.1> (x)", {real({1, 4, 2, 2})}},
      {"y = MeanVarianceNormalization (x)", {real({2, 2, 2, 2})}},

      {"y = Attention (q, k, v)", {real({1, 2, 3, 4}), real({1, 2, 4, 4}), real({1, 2, 4, 2})}, 23},
      {"y = Attention <is_causal = 1, q_num_heads = 2, kv_num_heads = 1, softcap = 2.0> (q, k, v)",
       {real({1, 3, 8}), real({1, 3, 4}), real({1, 3, 4})},
       23},
      {"y, pk, pv = Attention (q, k, v, m, a, b)",
       {real({1, 1, 2, 4}), real({1, 1, 2, 4}), real({1, 1, 2, 4}), real({2, 5}), real({1, 1, 3, 4}),
        real({1, 1, 3, 4})},
       23},
      {"y = RotaryEmbedding (x, c, s)", {real({1, 2, 3, 4}), real({1, 3, 2}), real({1, 3, 2})}, 23},
      {"y = RotaryEmbedding <interleaved = 1, num_heads = 2, rotary_embedding_dim = 2> (x, c, s, p)",
       {real({1, 3, 8}), real({5, 1}), real({5, 1}), numbers({4, 0, 2}, {1, 3})},
       23},

      {"y = DequantizeLinear (x, s, z)",
       {numbers({3, -2, 100, 7, 0, -128}, {2, 3}, DType::kInt8), real({3}, 0.1, 1),
        numbers({1, 0, -3}, {3}, DType::kInt8)}},
      {"y = mc.FoldedWeight (w, g, v)", {real({3, 2}), scale, held({3}, 0.5, 2)}},
      {"y = mc.FoldedBatchNormalization (y0, g, b, m, v, f)",
       {real({2, 3, 2}), scale, bias, held({3}), held({3}, 0.5, 2), numbers({1}, {1})}},
  };
}

}  // namespace mc::testing
