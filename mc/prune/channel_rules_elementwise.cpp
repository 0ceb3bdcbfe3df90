// Operators that treat every element alone, with numpy's broadcasting.
#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

void join_unary(ChannelPorts& node) {
  for (size_t i = 0; i < node.outputs(); ++i) node.same_axes(node.in(0), node.out(i));
}

void join_broadcast(ChannelPorts& node) {
  for (size_t i = 0; i < node.inputs(); ++i) node.broadcast(node.in(i), node.out(0));
}

// Zeros of the constant make zeros, or take nothing away.
void join_affine(ChannelPorts& node) {
  join_broadcast(node);
  for (size_t i = 0; i < node.inputs(); ++i) {
    const ChannelValue* value = node.in(i);
    for (int64_t k = 0; value && k < value->rank(); ++k) node.use(i, k, kMaskable);
  }
}

void join_prelu(ChannelPorts& node) {
  node.same_axes(node.in(0), node.out(0));
  node.broadcast(node.in(1), node.out(0));
}

// Scales and what else the state has, one for each index of `axis` or one for all.
void join_quantizer(ChannelPorts& node) {
  node.same_axes(node.in(0), node.out(0));
  const int64_t axis = node.node().get_int("axis", node.node().domain.empty() ? 1 : -1);
  for (size_t i = 1; i < node.inputs(); ++i) {
    const ChannelValue* state = node.in(i);
    if (!state || state->rank() != 1 || state->dims[0] == 1) continue;
    const bool from_end = axis < 0 && !node.node().domain.empty();  // one scale for all
    if (!from_end && ChannelPorts::dim(node.in(0), axis) == state->dims[0])
      node.same(ChannelPorts::axis(node.in(0), axis), ChannelPorts::axis(state, 0));
  }
}

}  // namespace

std::vector<ChannelRule> elementwise_channel_rules() {
  std::vector<ChannelRule> rules;
  for (const char* name : {"Abs",        "Acos",     "Acosh", "Asin",     "Asinh",
                           "Atan",       "Atanh",    "Cast",  "Ceil",     "Celu",
                           "Clip",       "Cos",      "Cosh",  "Dropout",  "Elu",
                           "Erf",        "Exp",      "Floor", "Gelu",     "HardSigmoid",
                           "HardSwish",  "Identity", "IsInf", "IsNaN",    "LeakyRelu",
                           "Log",        "Mish",     "Neg",   "Not",      "Reciprocal",
                           "Relu",       "Round",    "Selu",  "Shrink",   "Sigmoid",
                           "Sign",       "Sin",      "Sinh",  "Softplus", "Softsign",
                           "Sqrt",       "Swish",    "Tan",   "Tanh",     "ThresholdedRelu",
                           "BitwiseNot", "CastLike"}) {
    rules.push_back({name, join_unary});
  }
  for (const char* name : {"QuickGelu", "Gelu"})
    rules.push_back({name, join_unary, nullptr, "com.microsoft"});
  for (const char* name :
       {"Div", "Pow", "Mod", "Max", "Min", "Mean", "Where", "Equal", "Greater", "GreaterOrEqual", "Less",
        "LessOrEqual", "And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"}) {
    rules.push_back({name, join_broadcast});
  }
  for (const char* name : {"Add", "Sub", "Mul", "Sum"}) rules.push_back({name, join_affine});
  rules.push_back({"AddRelu", join_affine, nullptr, "mc"});
  rules.push_back({"PRelu", join_prelu});
  rules.push_back({"QuantizeLinear", join_quantizer});
  rules.push_back({"DequantizeLinear", join_quantizer});
  rules.push_back({"FakeQuantize", join_quantizer, nullptr, "mc"});
  rules.push_back({"LearnedFakeQuantize", join_quantizer, nullptr, "mc"});
  return rules;
}

}  // namespace mc
