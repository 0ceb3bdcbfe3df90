// The Microsoft domain: products with something fused to them, and with weights of few bits.
#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/conv.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// How one operand of a FusedMatMul is turned: its leading axis behind the other batch axes, then its
// matrices.
struct OperandTurn {
  bool batch = false, matrix = false;

  std::vector<int64_t> order(int64_t rank) const {
    std::vector<int64_t> axes(rank);
    std::iota(axes.begin(), axes.end(), 0);
    if (batch && rank > 2) std::rotate(axes.begin(), axes.begin() + 1, axes.end() - 1);
    if (matrix && rank > 1) std::swap(axes[rank - 1], axes[rank - 2]);
    return axes;
  }
};

OperandTurn operand_turn(const Node& node, char operand) {
  return {node.get_int(fmt::format("transBatch{}", operand), 0) != 0,
          node.get_int(fmt::format("trans{}", operand), 0) != 0};
}

Kernel bind_fused_matmul(const BindContext& context) {
  const double alpha = context.node.get_float("alpha", 1);
  return binary([alpha, turn_a = operand_turn(context.node, 'A'), turn_b = operand_turn(context.node, 'B')](
                    const at::Tensor& a, const at::Tensor& b) {
    const at::Tensor y = at::matmul(a.permute(turn_a.order(a.dim())), b.permute(turn_b.order(b.dim())));
    return alpha == 1 ? y : y * alpha;
  });
}

std::optional<Shape> turned_shape(const Shape* shape, const OperandTurn& turn) {
  if (!shape) return std::nullopt;
  Shape turned;
  for (int64_t axis : turn.order(static_cast<int64_t>(shape->size()))) turned.push_back((*shape)[axis]);
  return turned;
}

void infer_fused_matmul(InferContext& context) {
  const auto a = turned_shape(input_shape(context, 0), operand_turn(context.node(), 'A'));
  const auto b = turned_shape(input_shape(context, 1), operand_turn(context.node(), 'B'));
  std::optional<Shape> y;
  if (a && b) y = matmul_shape(*a, *b);
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

double fused_matmul_macs(const Node& node, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  const auto a = turned_shape(&inputs[0], operand_turn(node, 'A'));
  return a->empty() ? 0 : element_count(outputs[0]) * element_count({a->back()});
}

Kernel bind_activated_gemm(const BindContext& context) {
  std::vector<Attribute> attributes;
  for (const char* name : {"alpha", "beta", "gamma"}) {
    const std::string own = fmt::format("activation_{}", name);
    if (context.node.find(own)) attributes.emplace_back(name, context.node.get_float(own, 0));
  }
  const auto activation = named_activation(context.node.get_string("activation", ""), std::move(attributes));
  return [gemm = operator_function(gemm_ops(), "Gemm", context.node.attributes),
          activation](const KernelArgs& args) {
    args.out(0, activation(gemm({args.in(0), args.in(1), args.in_or(2)})));
  };
}

// y = activation(conv(x, w) + bias + z).
Kernel bind_activated_conv(const BindContext& context) {
  const std::string name = context.node.get_string("activation", "");
  const std::vector<float> numbers = context.node.get_floats("activation_params");
  const char* names[2] = {name == "Clip" ? "min" : "alpha", name == "Clip" ? "max" : "beta"};
  MC_CHECK(numbers.size() <= 2, "activation_params has {} numbers; 2 at most are used", numbers.size());
  std::vector<Attribute> attributes;
  for (size_t i = 0; i < numbers.size(); ++i) attributes.emplace_back(names[i], numbers[i]);
  return [convolution = Convolution(context, 1),
          activation = named_activation(name, std::move(attributes))](const KernelArgs& args) {
    const at::Tensor y = convolution(args.in(0), args.in(1), args.in_or(2));
    args.out(0, activation(args.has(3) ? y + args.in(3) : y));
  };
}

}  // namespace

std::vector<Op> contrib_matmul_ops() {
  const std::vector<Role> weights = {Role::kWeight, Role::kWeight};
  Op fused = microsoft_op("FusedMatMul", bind_fused_matmul, infer_fused_matmul, weights);
  fused.quant = QuantPart::kCompute;
  fused.macs = fused_matmul_macs;
  fused.channel_axis = [](const Node& node, size_t input, int64_t rank) -> int64_t {
    if (rank < 2) return 0;
    const bool turned = operand_turn(node, input == 0 ? 'A' : 'B').matrix;
    return (input == 0) != turned ? rank - 2 : rank - 1;
  };
  Op transpose = fused;  // its older name
  transpose.name = "TransposeMatMul";
  Op gemm = microsoft_twin(gemm_ops(), "Gemm");
  gemm.name = "FusedGemm";
  gemm.bind = bind_activated_gemm;
  Op conv = microsoft_twin(conv_ops(), "Conv");
  conv.name = "FusedConv";
  conv.bind = bind_activated_conv;
  conv.roles.push_back(Role::kConstant);
  return {fused, transpose, gemm, conv};
}

}  // namespace mc
