// Matrix products: Gemm, MatMul, Einsum.
#include <cctype>
#include <map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"

namespace mc {
namespace {

Kernel bind_gemm(const BindContext& context) {
  const Node& node = context.node;
  const double alpha = node.get_float("alpha", 1), beta = node.get_float("beta", 1);
  const bool trans_a = node.get_int("transA", 0) != 0, trans_b = node.get_int("transB", 0) != 0;
  return [=](const KernelArgs& args) {
    const at::Tensor a = trans_a ? args.in(0).t() : args.in(0);
    const at::Tensor b = trans_b ? args.in(1).t() : args.in(1);
    const at::Tensor c = args.in_or(2);
    MC_CHECK(a.dim() == 2 && b.dim() == 2, "A and B have {} and {} dims; Gemm takes matrices", a.dim(),
             b.dim());
    MC_CHECK(a.size(1) == b.size(0), "A has {} columns and B {} rows", a.size(1), b.size(0));
    if (c.defined() && a.is_floating_point()) return args.out(0, at::addmm(c, a, b, beta, alpha));
    at::Tensor y = at::mm(a, b);
    if (alpha != 1) y = at::mul(y, alpha).to(y.scalar_type());
    if (c.defined()) y = y + (beta == 1 ? c : at::mul(c, beta).to(c.scalar_type()));
    args.out(0, y);
  };
}

void infer_gemm(InferContext& context) {
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, 1);
  Shape y(2);
  for (const Shape* shape : {a, b}) {
    MC_CHECK(!shape || shape->size() == 2, "A and B must be matrices, not {}", to_string(*shape));
  }
  const size_t inner_a = context.node().get_int("transA", 0) ? 0 : 1;
  const size_t inner_b = context.node().get_int("transB", 0) ? 1 : 0;
  if (a) y[0] = (*a)[1 - inner_a];
  if (b) y[1] = (*b)[1 - inner_b];
  if (a && b) merge_dims((*a)[inner_a], (*b)[inner_b]);
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

double gemm_macs(const Node& node, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  if (inputs[0].size() != 2) return 0;
  const Dim& inner = inputs[0][node.get_int("transA", 0) ? 0 : 1];
  return inner.known() ? element_count(outputs[0]) * static_cast<double>(inner.value) : 0;
}

void infer_matmul(InferContext& context) {
  const Shape* a = input_shape(context, 0);
  const Shape* b = input_shape(context, 1);
  context.output(
      0, Type::tensor(input_dtype(context, 0), a && b ? std::optional(matmul_shape(*a, *b)) : std::nullopt));
}

double matmul_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  if (inputs[0].empty() || !inputs[0].back().known()) return 0;
  return element_count(outputs[0]) * static_cast<double>(inputs[0].back().value);
}

// "ij,jk->ik" as terms of letters, '.' standing for the ellipsis.
struct Equation {
  std::vector<std::string> inputs;
  std::string output;
};

Equation parse_equation(const std::string& text) {
  Equation equation;
  equation.inputs.emplace_back();
  bool in_output = false;
  std::map<char, int> seen;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string& term = in_output ? equation.output : equation.inputs.back();
    if (std::isalpha(static_cast<unsigned char>(text[i]))) {
      term += text[i];
      if (!in_output) ++seen[text[i]];
    } else if (text.compare(i, 3, "...") == 0) {
      term += '.';
      if (!in_output) seen['.'] = 1;
      i += 2;
    } else if (text.compare(i, 2, "->") == 0 && !in_output) {
      in_output = true;
      ++i;
    } else if (text[i] == ',' && !in_output) {
      equation.inputs.emplace_back();
    } else {
      MC_CHECK(text[i] == ' ', "equation '{}' holds '{}' at column {}", text, text[i], i + 1);
    }
  }
  // Without an arrow: the ellipsis, then the letters that occur once, in alphabetical order.
  if (!in_output) {
    for (const auto& [letter, times] : seen) {
      if (times == 1) equation.output += letter;
    }
  }
  return equation;
}

// The dim of every letter; the ellipsis' dims apart.
struct EinsumDims {
  std::map<char, Dim> letters;
  Shape ellipsis;
};

EinsumDims einsum_dims(const Equation& equation, std::span<const Shape> inputs) {
  EinsumDims dims;
  MC_CHECK(inputs.size() == equation.inputs.size(), "the equation has {} terms for {} inputs",
           equation.inputs.size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string& term = equation.inputs[i];
    const bool has_ellipsis = term.find('.') != std::string::npos;
    const size_t letters = term.size() - (has_ellipsis ? 1 : 0);
    MC_CHECK(has_ellipsis ? inputs[i].size() >= letters : inputs[i].size() == letters,
             "input {} has {} dims and its term {} letters", i, inputs[i].size(), letters);
    auto at = inputs[i].begin();
    for (char letter : term) {
      if (letter == '.') {
        const auto end = at + static_cast<long>(inputs[i].size() - letters);
        dims.ellipsis = broadcast_shapes(dims.ellipsis, Shape(at, end));
        at = end;
      } else {
        const Shape merged =
            broadcast_shapes({dims.letters.count(letter) ? dims.letters[letter] : Dim(1)}, {*at++});
        dims.letters[letter] = merged[0];
      }
    }
  }
  return dims;
}

void infer_einsum(InferContext& context) {
  const Equation equation = parse_equation(context.node().get_string("equation", ""));
  std::vector<Shape> inputs;
  for (size_t i = 0; i < context.node().inputs.size(); ++i) {
    const Shape* shape = input_shape(context, i);
    if (!shape) return context.output(0, Type::tensor(input_dtype(context, 0)));
    inputs.push_back(*shape);
  }
  EinsumDims dims = einsum_dims(equation, inputs);
  Shape y;
  for (char letter : equation.output) {
    if (letter == '.') {
      y.insert(y.end(), dims.ellipsis.begin(), dims.ellipsis.end());
    } else {
      MC_CHECK(dims.letters.count(letter), "'{}' of the equation's output is in none of its inputs", letter);
      y.push_back(dims.letters[letter]);
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

double einsum_macs(const Node& node, std::span<const Shape> inputs, std::span<const Shape>) {
  const EinsumDims dims =
      einsum_dims(parse_equation(node.get_string("equation", "")), inputs.first(node.inputs.size()));
  double product = element_count(dims.ellipsis);
  for (const auto& [letter, dim] : dims.letters) product *= element_count({dim});
  return product;
}

Kernel bind_einsum(const BindContext& context) {
  const std::string equation = context.node.get_string("equation", "");
  parse_equation(equation);
  return [equation](const KernelArgs& args) {
    std::vector<at::Tensor> operands;
    for (size_t i = 0; i < args.input_count(); ++i) operands.push_back(args.in(i));
    args.out(0, at::einsum(equation, operands));
  };
}

}  // namespace

std::vector<Op> gemm_ops() {
  return {
      {.name = "Gemm",
       .since = 1,
       .roles = {Role::kConstant, Role::kWeight, Role::kWeight},
       .quant = QuantPart::kCompute,
       .bind = bind_gemm,
       .infer = infer_gemm,
       .macs = gemm_macs,
       .channel_axis = [](const Node& node, size_t input, int64_t rank) -> int64_t {
         return input == 1 && node.get_int("transB", 0) ? 0 : rank - 1;
       }},
      // A constant operand on either side is a weight.
      {.name = "MatMul",
       .since = 1,
       .roles = {Role::kWeight, Role::kWeight},
       .quant = QuantPart::kCompute,
       .bind =
           [](const BindContext&) {
             return [](const KernelArgs& args) { args.out(0, at::matmul(args.in(0), args.in(1))); };
           },
       .infer = infer_matmul,
       .macs = matmul_macs,
       .channel_axis = [](const Node&, size_t input, int64_t rank) -> int64_t {
         return rank < 2 ? 0 : input == 0 ? rank - 2 : rank - 1;
       }},
      {.name = "Einsum",
       .since = 12,
       .roles = {Role::kWeight},
       .bind = bind_einsum,
       .infer = infer_einsum,
       .macs = einsum_macs},
  };
}

}  // namespace mc
