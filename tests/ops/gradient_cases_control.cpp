// Control flow, recurrent networks, sequences.
#include "tests/ops/gradient_cases.h"

namespace mc::testing {

std::vector<GradientCase> control_gradient_cases() {
  const CaseInput steps = real({3, 2, 2}), pair = real({2});
  const CaseInput halves = numbers({1, 2}, {2}), one = numbers({1}, {});
  return {
      {"y = If (c) <then_branch: graph = t () => (float[2] r) { r = Mul (a, b) }, "
       "else_branch: graph = e () => (float[2] s) { s = Sub (a, b) }>",
       {flags({1}, {}), pair, pair}},
      {"y, all = Loop (n, , x) <body: graph = l (int64 i, bool c, float[2] v) => (bool k, float[2] w, "
       "float[2] s) { k = Identity (c) w = Mul (v, m) s = Sin (w) }>",
       {numbers({3}, {}), pair, pair}},
      {"y, all = Scan <num_scan_inputs = 1, body: graph = b (float[2] v, float[2] u) => (float[2] w, "
       "float[2] s) { w = Mul (v, u) s = Sin (w) }> (x, xs)",
       {pair, real({3, 2})}},
      {"y, all = Scan <num_scan_inputs = 1, body: graph = b (float[2] v, float[2] u) => (float[2] w, "
       "float[2] s) { w = Mul (v, u) s = Sin (w) }> (, x, xs)",
       {real({2, 2}), real({2, 3, 2})},
       8},

      {"y, h = RNN <hidden_size = 2> (x, w, r, b)", {steps, real({1, 2, 2}), real({1, 2, 2}), real({1, 4})}},
      {"y, h = GRU <hidden_size = 2, direction = \"bidirectional\"> (x, w, r, b, l, i)",
       {steps, real({2, 6, 2}), real({2, 6, 2}), real({2, 12}), numbers({3, 2}, {2}, DType::kInt32),
        real({2, 2, 2})}},
      {"y, h = GRU <hidden_size = 2, linear_before_reset = 1> (x, w, r)",
       {steps, real({1, 6, 2}), real({1, 6, 2})}},
      {"y, h, c = LSTM <hidden_size = 2> (x, w, r, b, , i, j, p)",
       {steps, real({1, 8, 2}), real({1, 8, 2}), real({1, 16}), real({1, 2, 2}), real({1, 2, 2}),
        real({1, 6})}},
      {"y, h, c = LSTM <hidden_size = 2, direction = \"reverse\"> (x, w, r)",
       {steps, real({1, 8, 2}), real({1, 8, 2})}},

      {"o = Optional (x) g = OptionalGetElement (o) y = Sin (g)", {pair}},
      {"q = SequenceConstruct (a, b) s = SequenceAt (q, i) y = Mul (s, a)", {pair, pair, one}},
      {"q = SequenceConstruct (a) r = SequenceInsert (q, b, i) "
       "y = ConcatFromSequence <axis = 0> (r)",
       {pair, real({3}), numbers({0}, {})}},
      {"q = SplitToSequence <axis = 1> (x, s) r = SequenceErase (q, i) y = SequenceAt (r, i)",
       {real({2, 3}), halves, numbers({0}, {})}},
      {"q = SequenceConstruct (a, b) r = SequenceMap (q, c) <body: graph = m (float[2] v, float[2] u) => "
       "(float[2] w) { w = Mul (v, u) }> y = ConcatFromSequence <axis = 0, new_axis = 1> (r)",
       {pair, pair, pair}},
  };
}

}  // namespace mc::testing
