// What moves, chooses, joins or resizes elements.
#include "tests/ops/gradient_cases.h"

namespace mc::testing {

std::vector<GradientCase> shape_gradient_cases() {
  const CaseInput x = real({2, 3}), rows = numbers({2, 0, 2, -1}, {2, 2});
  return {
      {"y = Reshape (x, s)", {x, list({3, -1})}},
      {"y = Flatten (x)", {real({2, 2, 3})}},
      {"y = Squeeze (x, a)", {real({2, 1, 3}), list({1})}},
      {"y = Unsqueeze (x, a)", {x, list({0, 2})}},
      {"y = Expand (x, s)", {real({3, 1}), list({2, 3, 4})}},
      {"y = Transpose <perm = [1, 0]> (x)", {x}},
      {"y = DepthToSpace <blocksize = 2> (x)", {real({1, 4, 2, 2})}},
      {"y = SpaceToDepth <blocksize = 2> (x)", {real({1, 1, 4, 2})}},
      {"y = Tile (x, r)", {x, list({2, 1})}},
      {"y = Trilu (x)", {real({3, 3})}},
      {"y = Trilu <upper = 0> (x, k)", {real({3, 3}), numbers({-1}, {})}},
      {"y = Concat <axis = 1> (a, b)", {x, real({2, 2})}},
      {"y, z = Split <axis = 1> (x, s)", {real({2, 4}), list({1, 3})}},
      {"y = Slice (x, s, e, a, t)", {real({4, 5}), list({3, 0}), list({-5, 4}), list({0, 1}), list({-2, 2})}},
      {"y = ReverseSequence (x, l)", {real({3, 2, 2}), list({2, 3})}},
      {"y = Gather (x, i)", {real({3, 4}), rows}},
      {"y = Gather <axis = 1> (x, i)", {real({2, 4, 2}), rows}},
      {"y = GatherElements <axis = 1> (x, i)", {real({2, 3}), rows}},
      {"y = GatherND (x, i)", {real({3, 4, 2}), numbers({0, 1, 2, -1}, {2, 2})}},
      {"y = Compress <axis = 0> (x, c)", {real({3, 2}), flags({1, 0, 1}, {3})}},
      {"y = Scatter (x, i, u)", {real({3, 2}), numbers({2, 0}, {1, 2}), real({1, 2})}, 10},
      {"y = ScatterElements <axis = 1> (x, i, u)", {real({2, 3}), numbers({2, 0}, {2, 1}), real({2, 1})}},
      {"y = ScatterElements <reduction = \"mul\"> (x, i, u)",
       {real({3, 2}, 0.5, 2), numbers({2, 0, 2, 1}, {2, 2}), real({2, 2}, 0.5, 2)}},
      {"y = ScatterND (x, i, u)", {real({3, 2}), numbers({2, 0}, {2, 1}), real({2, 2})}},
      {"y = ScatterND <reduction = \"add\"> (x, i, u)",
       {real({3, 2}), numbers({2, 2}, {2, 1}), real({2, 2})}},
      {"y = Pad (x, p, v)", {x, list({1, 0, 0, 2}), held({})}},
      {"y = Pad <mode = \"reflect\"> (x, p)", {real({3, 3}), list({1, 0, 2, 1})}},
      {"y = Pad <mode = \"edge\"> (x, p)", {x, list({1, 0, 0, 2})}},
      {"y = Cast <to = 11> (x)", {x}},
      {"y = Resize <mode = \"linear\"> (x, , , s)", {real({1, 1, 3, 3}), list({1, 1, 5, 4})}},
      {"y = Resize <mode = \"cubic\"> (x, , , s)", {real({1, 1, 4, 4}), list({1, 1, 6, 3})}},
      {"y = Resize <mode = \"nearest\"> (x, , , s)", {real({1, 1, 2, 3}), list({1, 1, 4, 5})}},
      {"y = Upsample <mode = \"linear\", scales = [1.0, 1.0, 2.0, 2.0]> (x)", {real({1, 1, 2, 3})}, 8},
  };
}

}  // namespace mc::testing
