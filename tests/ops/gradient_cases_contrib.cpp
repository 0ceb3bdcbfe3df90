// Microsoft's operators.
#include "tests/ops/gradient_cases.h"

namespace mc::testing {
namespace {

// Bytes of codes, in a shape.
CaseInput code_bytes(std::vector<int64_t> dims) {
  std::vector<double> values;
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>((i * 89 + 23) % 256));
  return numbers(std::move(values), std::move(dims), DType::kUInt8);
}

}  // namespace

std::vector<GradientCase> contrib_gradient_cases() {
  const CaseInput x = real({2, 2, 4}), gamma = real({4}, 0.5, 2), beta = real({4});
  const CaseInput ids = numbers({1, 0, 2, 2}, {2, 2}, DType::kInt32);
  const CaseInput q = real({1, 2, 16}), k = real({1, 2, 8}), v = real({1, 2, 8});
  const CaseInput total = numbers({2}, {}, DType::kInt32), last = numbers({1}, {1}, DType::kInt32);
  return {
      {"y = com.microsoft.Gelu (x)", {x}},
      {"y = com.microsoft.FastGelu (x, b)", {x, beta}},
      {"y = com.microsoft.BiasGelu (x, b)", {x, beta}},
      {"y = com.microsoft.QuickGelu (x)", {x}},
      {"y = com.microsoft.BiasSplitGelu (x, b)", {x, beta}},

      {"y, m, d, s = com.microsoft.SkipLayerNormalization (x, k, g, b, c)", {x, x, gamma, beta, beta}},
      {"y = com.microsoft.SkipSimplifiedLayerNormalization (x, k, g, c)", {x, x, gamma, beta}},
      {"y = com.microsoft.SimplifiedLayerNormalization (x, g)", {x, gamma}},
      {"y = SimplifiedLayerNormalization (x, g)", {x, gamma}},
      {"y, n = com.microsoft.EmbedLayerNormalization (i, s, w, p, k, g, b)",
       {ids, numbers({0, 1, 1, 0}, {2, 2}, DType::kInt32), real({3, 4}), real({2, 4}), real({2, 4}), gamma,
        beta}},
      {"y = com.microsoft.GroupNorm <groups = 2, activation = 1> (x, g, b)",
       {real({1, 2, 2, 4}), gamma, beta}},
      {"y, s = com.microsoft.SkipGroupNorm <groups = 2, activation = 0> (x, g, b, k, c)",
       {real({1, 2, 2, 4}), gamma, beta, real({1, 4}), beta}},

      {"y = com.microsoft.FusedMatMul <transA = 1, transBatchB = 1, alpha = 0.5> (a, b)",
       {real({2, 3, 2}), real({3, 2, 2})}},
      {"y = com.microsoft.TransposeMatMul <transB = 1> (a, b)", {real({2, 3}), real({4, 3})}},
      {"y = com.microsoft.FusedGemm <activation = \"Tanh\", transB = 1> (a, b, c)",
       {real({2, 3}), real({4, 3}), real({4})}},
      {"y = com.microsoft.FusedConv <activation = \"Relu\"> (x, w, b, z)",
       {real({1, 2, 3, 3}), real({2, 2, 2, 2}), real({2}), real({1, 2, 2, 2})}},
      {"y = com.microsoft.MatMulNBits <K = 20, N = 2, bits = 4, block_size = 16> (a, b, s, z, , c)",
       {real({2, 20}), code_bytes({2, 2, 8}), real({2, 2}), code_bytes({2, 1}), real({2})}},
      {"y = com.microsoft.GatherBlockQuantized <bits = 8, block_size = 16> (d, i, s)",
       {code_bytes({3, 20}), list({2, 0}), real({3, 2})}},

      {"y, p = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (x, w, b, , past)",
       {real({1, 2, 3}), real({3, 12}), real({12}), real({2, 1, 2, 1, 2})}},
      {"y = com.microsoft.Attention <num_heads = 2> (x, w, b, , , e)",
       {real({1, 2, 3}), real({3, 12}), real({12}), real({1, 2, 2, 2})}},
      {"y, pk, pv = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, b, m, e, a, c)",
       {real({1, 2, 4}), real({1, 2, 4}), real({1, 2, 4}), real({12}),
        numbers({1, 0, 1}, {1, 3}, DType::kInt32), real({1, 1, 2, 3}), real({1, 2, 1, 2}),
        real({1, 2, 1, 2})}},
      {"y = com.microsoft.RotaryEmbedding (x, p, c, s)",
       {real({1, 2, 4}), numbers({2, 0}, {1, 2}), real({3, 1}), real({3, 1})}},
      {"y, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1, softcap = 2.0> "
       "(q, k, v, , , l, t, , , , , s)",
       {q, k, v, last, total, real({2})}},
      {"y, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1, do_rotary = 1> "
       "(q, k, v, a, b, l, t, c, s)",
       {real({1, 1, 32}), real({1, 1, 16}), real({1, 1, 16}), real({1, 1, 2, 16}), real({1, 1, 2, 16}),
        numbers({2}, {1}, DType::kInt32), numbers({3}, {}, DType::kInt32), real({4, 8}), real({4, 8})}},

      {"y = com.microsoft.Inverse (x)",
       {CaseInput{.dims = {2, 2}, .trained = true, .values = {2, 0.3, -0.4, 1.5}}}},
      {"y = com.microsoft.ExpandDims (x, a)", {x, numbers({1}, {}, DType::kInt32)}},
      {"y = com.microsoft.CDist (a, b)", {real({2, 3}), real({3, 3})}},
      {"y = com.microsoft.CDist <metric = \"euclidean\"> (a, b)", {real({2, 3}), real({3, 3})}},
      {"y = com.microsoft.NhwcMaxPool <kernel_shape = [2, 2]> (x)", {real({1, 3, 3, 2})}},
      {"y = com.microsoft.Trilu (x)", {real({3, 3})}},
      {"y = com.microsoft.Pad (x, p)", {real({2, 3}), list({1, 0, 0, 2})}},
      {"y = com.microsoft.GatherND (x, i)", {real({3, 4}), numbers({0, 1, 2, -1}, {2, 2})}},
      {"y = com.microsoft.DequantizeLinear (x, s, z)",
       {numbers({3, 200, 60000, 7}, {2, 2}, DType::kUInt16), real({2}, 0.1, 1),
        numbers({1, 300}, {2}, DType::kUInt16)}},
  };
}

}  // namespace mc::testing
