#include "tests/recipe/kernel_cases.h"

namespace mc {
namespace {

const char* kImage = "N,8,12,12";
const char* kWords = "N,7,16";

using Weights = std::vector<std::pair<std::string, std::vector<int64_t>>>;

Weights stem(Weights more = {}) {
  more.insert(more.begin(), {{"w1", {16, 8, 3, 3}}, {"b1", {16}}});
  return more;
}
std::string start() {
  return conv("a", "x", "w1, b1", 3) + "r = Relu(a)\n";
}

// The stem, one operator, and a convolution.
KernelCase between(const std::string& name, const std::string& op, ExpectedKernels ort, ExpectedKernels ov,
                   std::vector<std::pair<std::string, at::Tensor>> constants = {}) {
  return {name,
          kImage,
          start() + "p = " + op + "\n" + conv("y", "p", "w2, b2", 1),
          stem({{"w2", {16, 16, 1, 1}}, {"b2", {16}}}),
          std::move(constants),
          ort,
          ov};
}

// The stem, a convolution, and their sum.
KernelCase residual(const std::string& name, const std::string& sum) {
  return {name,
          kImage,
          start() + conv("c", "r", "w2, b2", 3) + sum + conv("y", "s", "w3", 3),
          stem({{"w2", {16, 16, 3, 3}}, {"b2", {16}}, {"w3", {16, 16, 3, 3}}}),
          {},
          {0, 2},
          {0, 1}};
}

std::vector<KernelCase> convolutions() {
  const std::string clip = "ar = Clip(a, lo, hi)\n";
  const std::vector<std::pair<std::string, at::Tensor>> bounds = {{"lo", real(0)}, {"hi", real(6)}};
  return {
      {"conv_relu",
       kImage,
       start() + conv("c", "r", "w2, b2", 3) + "cr = Relu(c)\n" + conv("y", "cr", "w3", 3),
       stem({{"w2", {16, 16, 3, 3}}, {"b2", {16}}, {"w3", {16, 16, 3, 3}}}),
       {},
       {0, 2},
       {0, 1}},
      {"conv_clip",
       kImage,
       conv("a", "x", "w1, b1", 3) + clip + conv("y", "ar", "w2", 3),
       stem({{"w2", {16, 16, 3, 3}}}),
       bounds,
       {0, 2},
       {0, 1}},
      {"conv_hard_swish",
       kImage,
       conv("a", "x", "w1, b1", 3) + "ar = HardSwish(a)\n" + conv("y", "ar", "w2", 3),
       stem({{"w2", {16, 16, 3, 3}}}),
       {},
       {0, 4},
       {0, 1}},
      {"conv_leaky",
       kImage,
       conv("a", "x", "w1, b1", 3) + "ar = LeakyRelu<alpha = 0.1>(a)\n" + conv("y", "ar", "w2", 3),
       stem({{"w2", {16, 16, 3, 3}}}),
       {},
       {0, 2},
       {0, 1}},
      {"depthwise",
       kImage,
       conv("a", "x", "w1, b1", 3) + clip + conv("d", "ar", "w2, b2", 3, ", group = 16") +
           "dr = Clip(d, lo, hi)\n" + conv("y", "dr", "w3", 1),
       stem({{"w2", {16, 1, 3, 3}}, {"b2", {16}}, {"w3", {16, 16, 1, 1}}}),
       bounds,
       {0, 2},
       {0, 1}},
      {"grouped",
       kImage,
       start() + conv("d", "r", "w2, b2", 3, ", group = 4") + "dr = Relu(d)\n" + conv("y", "dr", "w3", 1),
       stem({{"w2", {16, 4, 3, 3}}, {"b2", {16}}, {"w3", {16, 16, 1, 1}}}),
       {},
       {0, 2},
       {0, 1}},
      // ONNX Runtime has no integer kernel for it.
      {"transposed",
       kImage,
       start() + "[up] u = ConvTranspose<kernel_shape = [2,2], strides = [2,2]>(r, w2, b2)\nur = Relu(u)\n" +
           conv("y", "ur", "w3", 1),
       stem({{"w2", {16, 8, 2, 2}}, {"b2", {8}}, {"w3", {16, 8, 1, 1}}}),
       {},
       {1, 4},
       {0, 1}},
      // Nor OpenVINO, with groups.
      {"transposed_grouped",
       kImage,
       start() + "[up] u = ConvTranspose<kernel_shape = [2,2], strides = [2,2], group = 4>(r, w2)\n" +
           conv("y", "u", "w3", 1),
       stem({{"w2", {16, 2, 2, 2}}, {"w3", {16, 8, 1, 1}}}),
       {},
       {1, 4},
       {1, 2}},
      {"conv1d",
       "N,8,12",
       "[c1] a = Conv<kernel_shape = [3], pads = [1,1]>(x, w1, b1)\nr = Relu(a)\n"
       "[c2] y = Conv<kernel_shape = [3]>(r, w2)\n",
       {{"w1", {16, 8, 3}}, {"b1", {16}}, {"w2", {16, 16, 3}}},
       {},
       {0, 2},
       {0, 1}},
      {"squeeze_excite",
       kImage,
       start() + "p = GlobalAveragePool(r)\n" + conv("s1", "p", "w2, b2", 1) + "s1r = Relu(s1)\n" +
           conv("s2", "s1r", "w3, b3", 1) + "g = HardSigmoid(s2)\nm = Mul(r, g)\n" + conv("y", "m", "w4", 1),
       stem(
           {{"w2", {4, 16, 1, 1}}, {"b2", {4}}, {"w3", {16, 4, 1, 1}}, {"b3", {16}}, {"w4", {16, 16, 1, 1}}}),
       {},
       {0, 5},
       {0, 1}},
  };
}

std::vector<KernelCase> joins() {
  return {
      residual("residual", "s = Add(c, r)\n"),
      residual("residual_swapped", "s = Add(r, c)\n"),
      residual("residual_relu", "t = Add(c, r)\ns = Relu(t)\n"),
      residual("residual_swapped_relu", "t = Add(r, c)\ns = Relu(t)\n"),
      {"two_branches",
       kImage,
       conv("a", "x", "w1, b1", 3) + conv("c", "x", "w2", 3) + "s = Add(a, c)\nr = Relu(s)\n" +
           conv("y", "r", "w3", 3),
       stem({{"w2", {16, 8, 3, 3}}, {"w3", {16, 16, 3, 3}}}),
       {},
       {0, 2},
       {0, 1}},
      {"sum_at_the_end",
       kImage,
       start() + conv("c", "r", "w2", 3) + "s = Add(c, r)\ny = Relu(s)\n",
       stem({{"w2", {16, 16, 3, 3}}}),
       {},
       {0, 2},
       {0, 1}},
      {"concat",
       kImage,
       start() + conv("c", "x", "w2", 3) + "cr = Relu(c)\nd = Concat<axis = 1>(r, cr)\n" +
           conv("y", "d", "w3", 3),
       stem({{"w2", {16, 8, 3, 3}}, {"w3", {16, 32, 3, 3}}}),
       {},
       {0, 2},
       {0, 1}},
      {"concat_with_input",
       kImage,
       start() + "d = Concat<axis = 1>(r, x)\n" + conv("y", "d", "w2", 3),
       stem({{"w2", {16, 24, 3, 3}}}),
       {},
       {0, 2},
       {0, 4}},
      {"used_twice",
       kImage,
       start() + conv("c", "r", "w2", 3) + conv("d", "r", "w3", 3) + "y = Add(c, d)\n",
       stem({{"w2", {16, 16, 3, 3}}, {"w3", {16, 16, 3, 3}}}),
       {},
       {0, 2},
       {0, 1}},
      {"shared_weight",
       "N,16,12,12",
       conv("a", "x", "w1, b1", 3) + "r = Relu(a)\n" + conv("c", "r", "w1, b1", 3) + "cr = Relu(c)\n" +
           conv("y", "cr", "w2", 3),
       {{"w1", {16, 16, 3, 3}}, {"b1", {16}}, {"w2", {16, 16, 3, 3}}},
       {},
       {0, 2},
       {0, 1}},
      {"split",
       kImage,
       start() + "s1, s2 = Split<axis = 1>(r, sizes)\n" + conv("c", "s1", "w2", 3) +
           conv("d", "s2", "w3", 3) + "y = Add(c, d)\n",
       stem({{"w2", {16, 8, 3, 3}}, {"w3", {16, 8, 3, 3}}}),
       {{"sizes", whole({8, 8})}},
       {0, 2},
       {0, 1}},
      {"output_inside",
       kImage,
       start() + conv("y", "r", "w2", 3),
       stem({{"w2", {16, 16, 3, 3}}}),
       {},
       {0, 3},
       {0, 1},
       "float y, float r"},
      {"output_of_relu", kImage, conv("a", "x", "w1, b1", 3) + "y = Relu(a)\n", stem(), {}, {0, 2}, {0, 1}},
      {"output_of_pool",
       kImage,
       start() + "y = MaxPool<kernel_shape = [2,2]>(r)\n",
       stem(),
       {},
       {0, 2},
       {0, 1}},
  };
}

std::vector<KernelCase> movers() {
  const std::string pool = "<kernel_shape = [2,2], strides = [2,2]>";
  return {
      between("max_pool", "MaxPool" + pool + "(r)", {0, 2}, {0, 1}),
      between("average_pool", "AveragePool" + pool + "(r)", {0, 2}, {0, 1}),
      between("global_pool", "GlobalAveragePool(r)", {0, 2}, {0, 1}),
      // Floats in ONNX Runtime, which has no integer kernel for it.
      between("reduce_mean", "ReduceMean<axes = [2,3], keepdims = 1>(r)", {0, 4}, {0, 1}),
      between("resize", "Resize<mode = \"nearest\">(r, roi, scales)", {0, 2}, {0, 1},
              {{"roi", at::zeros({0})}, {"scales", at::tensor({1.0F, 1.0F, 2.0F, 2.0F})}}),
      between("pad", "Pad(r, pads)", {0, 2}, {0, 1}, {{"pads", whole({0, 0, 1, 1, 0, 0, 1, 1})}}),
      {"shuffle",
       kImage,
       start() + "s = Reshape(r, to)\nt = Transpose<perm = [0,2,1,3,4]>(s)\nq = Reshape(t, back)\n" +
           conv("y", "q", "w2", 3),
       stem({{"w2", {16, 16, 3, 3}}}),
       {{"to", whole({0, 4, 4, 12, 12})}, {"back", whole({0, 16, 12, 12})}},
       {0, 2},
       {0, 1}},
      {"head",
       kImage,
       start() + "p = GlobalAveragePool(r)\nf = Flatten(p)\n[fc] y = Gemm<transB = 1>(f, w2, b2)\n",
       stem({{"w2", {10, 16}}, {"b2", {10}}}),
       {},
       {0, 1},
       {0, 1}},
      {"pool_first",
       kImage,
       "p = MaxPool" + pool + "(x)\n" + conv("y", "p", "w1", 3),
       {{"w1", {16, 8, 3, 3}}},
       {},
       {0, 2},
       {0, 1}},
      {"words",
       kImage,
       start() + "s = Reshape(r, to)\nt = Transpose<perm = [0,2,1]>(s)\n"
                 "[mm] m = MatMul(t, w2)\ny = Add(m, b2)\n",
       stem({{"w2", {16, 10}}, {"b2", {10}}}),
       {{"to", whole({0, 16, 144})}},
       {0, 1},
       {0, 1}},
  };
}

std::vector<KernelCase> products() {
  const Weights two = {{"w1", {16, 16}}, {"b1", {16}}, {"w2", {16, 10}}, {"b2", {10}}};
  const Weights mlp = {{"w1", {16, 32}}, {"b1", {32}}, {"w2", {32, 16}}, {"b2", {16}}};
  const std::string heads =
      "[q] q = MatMul(x, wq)\nqb = Add(q, bq)\n[k] k = MatMul(x, wk)\nkb = Add(k, bk)\n"
      "[v] v = MatMul(x, wv)\nvb = Add(v, bv)\nqr = Reshape(qb, split)\nkr = Reshape(kb, split)\n"
      "vr = Reshape(vb, split)\nqt = Transpose<perm = [0,2,1,3]>(qr)\nkt = Transpose<perm = [0,2,3,1]>(kr)\n"
      "vt = Transpose<perm = [0,2,1,3]>(vr)\n[scores] s = MatMul(qt, kt)\nsd = Div(s, root)\n"
      "p = Softmax<axis = -1>(sd)\n[context] o = MatMul(p, vt)\not = Transpose<perm = [0,2,1,3]>(o)\n"
      "or = Reshape(ot, join)\n[out] pr = MatMul(or, wo)\ny = Add(pr, bo)\n";
  KernelCase attention = {"attention",
                          kWords,
                          heads,
                          {{"wq", {16, 16}},
                           {"bq", {16}},
                           {"wk", {16, 16}},
                           {"bk", {16}},
                           {"wv", {16, 16}},
                           {"bv", {16}},
                           {"wo", {16, 16}},
                           {"bo", {16}}},
                          {{"split", whole({0, 0, 4, 4})}, {"join", whole({0, 0, 16})}, {"root", real(2)}},
                          {2, 2},
                          {0, 3}};
  KernelCase products = attention;
  products.name = "attention_on_integers";
  products.attention = true;
  products.onnxruntime = {0, 5};
  products.openvino = {0, 9};  // it rounds again behind each Reshape of signed values
  return {
      {"gemm",
       "N,16",
       "[fc1] a = Gemm(x, w1, b1)\nr = Relu(a)\n[fc2] y = Gemm(r, w2, b2)\n",
       two,
       {},
       {0, 1},
       {0, 1}},
      {"gemm_without_bias",
       "N,16",
       "[fc1] a = Gemm<transB = 1>(x, w1)\nr = Relu(a)\n[fc2] y = Gemm(r, w2)\n",
       {{"w1", {16, 16}}, {"w2", {16, 10}}},
       {},
       {0, 1},
       {0, 1}},
      {"gemm_wide_bias",
       "N,16",
       "[fc1] a = Gemm(x, w1, b1)\n[fc2] y = Gemm(a, w2, b2)\n",
       {{"w1", {16, 16}}, {"b1", {1, 16}}, {"w2", {16, 10}}, {"b2", {1}}},
       {},
       {0, 1},
       {0, 1}},
      {"gemm_relu_output",
       "N,16",
       "[fc1] a = Gemm(x, w1, b1)\ny = Relu(a)\n",
       {{"w1", {16, 16}}, {"b1", {16}}},
       {},
       {0, 2},
       {0, 1}},
      {"mlp",
       kWords,
       "[mm1] a = MatMul(x, w1)\nb = Add(a, b1)\nr = Relu(b)\n[mm2] c = MatMul(r, w2)\n"
       "y = Add(b2, c)\n",
       mlp,
       {},
       {0, 2},
       {0, 1}},
      {"product_and_relu",
       kWords,
       "[mm1] a = MatMul(x, w1)\nr = Relu(a)\ny = ReduceMean<axes = [1]>(r)\n",
       {{"w1", {16, 32}}},
       {},
       {0, 2},
       {0, 1}},
      {"shared_matrix",
       kWords,
       "[mm1] a = MatMul(x, w1)\nr = Relu(a)\n[mm2] y = MatMul(r, w1)\n",
       {{"w1", {16, 16}}},
       {},
       {0, 1},
       {0, 1}},
      {"norm_and_sum",
       kWords,
       "n = LayerNormalization(x, g, b0)\n[mm1] a = MatMul(n, w1)\nb = Add(a, b1)\nt = Tanh(b)\n"
       "[mm2] c = MatMul(t, w2)\nd = Add(c, b2)\ns = Add(d, n)\ny = LayerNormalization(s, g, b0)\n",
       {{"g", {16}}, {"b0", {16}}, {"w1", {16, 32}}, {"b1", {32}}, {"w2", {32, 16}}, {"b2", {16}}},
       {},
       {0, 3},
       {0, 2}},
      attention,
      products,
  };
}

}  // namespace

const std::vector<KernelCase>& kernel_cases() {
  static const std::vector<KernelCase> cases = [] {
    std::vector<KernelCase> all;
    for (auto& part : {convolutions(), joins(), movers(), products()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return cases;
}

}  // namespace mc
