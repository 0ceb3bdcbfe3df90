// Arithmetic, functions of single elements, activations, reductions.
#include "tests/ops/gradient_cases.h"

namespace mc::testing {

std::vector<GradientCase> elementwise_gradient_cases() {
  const CaseInput x = real({2, 3}), positive = real({2, 3}, 0.2, 2);
  std::vector<GradientCase> cases = {
      {"y = Add (a, b)", {real({2, 3}), real({3})}},
      {"y = Sub (a, b)", {real({2, 1, 3}), real({2, 1})}},
      {"y = Mul (a, b)", {real({2, 3}), real({2, 3})}},
      {"y = Div (a, b)", {real({2, 3}), real({3}, 0.5, 2)}},
      {"y = Pow (a, b)", {positive, real({3}, -2, 2)}},
      {"y = Mod <fmod = 1> (a, b)", {real({2, 3}, -5, 5), held({3}, 1, 2)}},
      {"y = Min (a, b, c)", {real({2, 3}), real({2, 3}), real({3})}},
      {"y = Max (a, b)", {real({2, 3}), real({2, 3})}},
      {"y = Sum (a, b, c)", {real({2, 3}), real({3}), real({2, 1})}},
      {"y = Mean (a, b, c)", {real({2, 3}), real({3}), real({2, 1})}},
      {"y = Neg (x)", {x}},
      {"y = Abs (x)", {x}},
      {"y = Sqrt (x)", {positive}},
      {"y = Exp (x)", {x}},
      {"y = Log (x)", {positive}},
      {"y = Reciprocal (x)", {positive}},
      {"y = Sign (x)", {x}},
      {"y = Floor (x)", {real({2, 3}, -3, 3)}},
      {"y = Ceil (x)", {real({2, 3}, -3, 3)}},
      {"y = Round (x)", {real({2, 3}, -3, 3)}},
      {"y = Erf (x)", {x}},
      {"y = Sin (x)", {x}},
      {"y = Cos (x)", {x}},
      {"y = Tan (x)", {x}},
      {"y = Asin (x)", {real({2, 3}, -0.9, 0.9)}},
      {"y = Acos (x)", {real({2, 3}, -0.9, 0.9)}},
      {"y = Atan (x)", {x}},
      {"y = Sinh (x)", {x}},
      {"y = Cosh (x)", {x}},
      {"y = Asinh (x)", {x}},
      {"y = Acosh (x)", {real({2, 3}, 1.2, 3)}},
      {"y = Atanh (x)", {real({2, 3}, -0.9, 0.9)}},
      {"y = Where (c, a, b)", {flags({1, 0, 1}, {3}), real({2, 3}), real({3})}},
      {"y = Identity (x)", {x}},
      {"y = CastLike (x, l)", {x, held({1})}},

      {"y = Relu (x)", {x}},
      {"y = LeakyRelu <alpha = 0.2> (x)", {x}},
      {"y = PRelu (x, s)", {x, real({3})}},
      {"y = Elu <alpha = 0.7> (x)", {x}},
      {"y = Selu (x)", {x}},
      {"y = Celu <alpha = 0.7> (x)", {x}},
      {"y = Sigmoid (x)", {x}},
      {"y = HardSigmoid (x)", {real({2, 3}, -4, 4)}},
      {"y = HardSwish (x)", {real({2, 3}, -4, 4)}},
      {"y = Tanh (x)", {x}},
      {"y = Softplus (x)", {x}},
      {"y = Softsign (x)", {x}},
      {"y = ThresholdedRelu <alpha = 0.3> (x)", {x}},
      {"y = Gelu (x)", {x}},
      {"y = Gelu <approximate = \"tanh\"> (x)", {x}},
      {"y = Mish (x)", {x}},
      {"y = Swish <alpha = 0.7> (x)", {x}, 24},
      {"y = Shrink <lambd = 0.3, bias = 0.1> (x)", {x}},
      {"y = Clip (x, l, h)", {x, held({}, -0.52, -0.5), held({}, 0.5, 0.52)}},
      {"y = Clip <min = -0.5, max = 0.5> (x)", {x}, 10},
      {"y = Softmax (x)", {x}},
      {"y = Softmax (x)", {real({2, 2, 2})}, 11},
      {"y = LogSoftmax <axis = 0> (x)", {x}},
      {"y = LogSoftmax (x)", {real({2, 2, 2})}, 11},
      {"y = Dropout (x)", {x}},

      {"y, i = TopK (x, k)", {real({2, 4}), list({2})}},
      {"y = CumSum (x, k)", {x, numbers({1}, {})}},
      {"y = CumSum <exclusive = 1, reverse = 1> (x, k)", {x, numbers({0}, {})}},
      {"y = CumProd (x, k)", {positive, numbers({1}, {})}, 26},
  };
  for (const char* name : {"ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1",
                           "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"}) {
    cases.push_back({std::string("y = ") + name + " (x, k)", {real({2, 3, 2}), list({1})}});
    cases.push_back({std::string("y = ") + name + " <keepdims = 0> (x)", {real({2, 3})}});
  }
  cases.push_back({"y = ReduceLogSum (x, k)", {real({2, 3, 2}, 0.2, 2), list({1})}});
  return cases;
}

}  // namespace mc::testing
