// Sampling, signals, losses, unpooling, the determinant, linear attention.
#include "tests/ops/gradient_cases.h"

namespace mc::testing {

std::vector<GradientCase> signal_gradient_cases() {
  const CaseInput image = real({1, 2, 4, 4}), labels = numbers({1, 0, 2}, {3});
  const CaseInput boxes = numbers({0.3, 0.4, 2.6, 3.1}, {1, 4}, DType::kFloat);
  return {
      {"y = GridSample (x, g)", {image, real({1, 2, 3, 2}, -0.9, 0.9)}, 20},
      {"y = GridSample <mode = \"cubic\", align_corners = 1> (x, g)",
       {image, real({1, 2, 2, 2}, -0.9, 0.9)},
       20},
      {"y = AffineGrid (t, s)", {real({1, 2, 3}), list({1, 1, 2, 3})}, 20},
      {"y = RoiAlign <output_height = 2, output_width = 2, sampling_ratio = 2> (x, r, b)",
       {image, boxes, list({0})},
       16},
      {"y = MaxRoiPool <pooled_shape = [2, 3], spatial_scale = 0.5> (x, r)",
       {real({2, 2, 6, 6}), numbers({0, 1, 1, 8, 7, 1, 4, 0, 11, 5, 1, 9, 9, 20, 30}, {3, 5}, DType::kFloat)},
       21},
      {"y = DeformConv <kernel_shape = [2, 2]> (x, w, o, b, m)",
       {real({1, 2, 3, 3}), real({2, 2, 2, 2}), real({1, 8, 2, 2}, 0.05, 0.45), real({2}),
        real({1, 4, 2, 2}, 0.2, 1)},
       19},

      {"y = DFT (x, , a)", {real({1, 4, 2}), numbers({1}, {})}, 20},
      {"y = DFT <axis = 1, inverse = 1> (x)", {real({1, 4, 2})}, 17},
      {"y = STFT (x, s, w)", {real({1, 8, 1}), numbers({2}, {}), real({4})}, 17},

      {"y = NegativeLogLikelihoodLoss (x, t, w)", {real({3, 4}), labels, held({4}, 0.5, 2)}},
      {"y, p = SoftmaxCrossEntropyLoss <reduction = \"sum\", ignore_index = 0> (x, t)",
       {real({3, 4}), labels}},

      {"y = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, i)",
       {real({1, 1, 2, 2}), numbers({5, 7, 13, 10}, {1, 1, 2, 2})}},
      {"y = Col2Im (x, i, b)", {real({1, 4, 4}), list({3, 3}), list({2, 2})}},
      {"y = CenterCropPad (x, s)", {real({3, 4}), list({5, 2})}},
      {"y = Det (x)", {real({2, 3, 3})}},

      {"y = SwiGLU (a, b)", {real({2, 3}), real({2, 3})}, 28},
      {"y = TensorScatter (x, u, i)", {real({2, 1, 4, 2}), real({2, 1, 2, 2}), list({1, 0})}, 24},
      {"y, s = CausalConvWithState <activation = \"silu\"> (x, w, b, p)",
       {real({1, 2, 3}), real({2, 1, 3}), real({2}), real({1, 2, 2})},
       27},
      {"y, s = LinearAttention <q_num_heads = 1, kv_num_heads = 1, update_rule = \"gated_delta\"> "
       "(q, k, v, p, d, b)",
       {real({1, 3, 2}), real({1, 3, 2}), real({1, 3, 2}), real({1, 1, 2, 2}), real({1, 3, 1}, -1, -0.1),
        real({1, 3, 1}, 0.1, 0.9)},
       27},
  };
}

}  // namespace mc::testing
