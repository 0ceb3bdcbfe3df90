#include "mc/ops/recurrent_cells.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

struct KnownActivation {
  const char* name;
  CellActivation::Kind kind;
  int parameters;  // how many of alpha and beta it takes
  double alpha;
  double beta;
};

using ActivationKind = CellActivation::Kind;
constexpr std::array kActivations = {
    KnownActivation{"Relu", ActivationKind::kRelu, 0, 0, 0},
    KnownActivation{"Tanh", ActivationKind::kTanh, 0, 0, 0},
    KnownActivation{"Sigmoid", ActivationKind::kSigmoid, 0, 0, 0},
    KnownActivation{"Affine", ActivationKind::kAffine, 2, 1, 0},
    KnownActivation{"LeakyRelu", ActivationKind::kLeakyRelu, 1, 0.01, 0},
    KnownActivation{"ThresholdedRelu", ActivationKind::kThresholdedRelu, 1, 1, 0},
    KnownActivation{"ScaledTanh", ActivationKind::kScaledTanh, 2, 1, 1},
    KnownActivation{"HardSigmoid", ActivationKind::kHardSigmoid, 2, 0.2, 0.5},
    KnownActivation{"Elu", ActivationKind::kElu, 1, 1, 0},
    KnownActivation{"Softsign", ActivationKind::kSoftsign, 0, 0, 0},
    KnownActivation{"Softplus", ActivationKind::kSoftplus, 0, 0, 0},
};

bool same_word(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

const KnownActivation& known_activation(const std::string& name) {
  for (const KnownActivation& known : kActivations) {
    if (same_word(name, known.name)) return known;
  }
  fail("activation '{}' is none that recurrent operators have", name);
}

std::vector<std::string> default_activations(CellKind kind) {
  if (kind == CellKind::kRnn) return {"Tanh"};
  if (kind == CellKind::kGru) return {"Sigmoid", "Tanh"};
  return {"Sigmoid", "Tanh", "Tanh"};
}

// alphas and betas are consumed by the functions that take them, in the order of the functions; what is
// left out has the default of the operator of that name.
std::vector<std::vector<CellActivation>> parse_activations(const Node& node, CellKind kind,
                                                           size_t directions) {
  const std::vector<std::string> defaults = default_activations(kind);
  std::vector<std::string> names;
  if (const Attribute* given = node.find("activations")) {
    const auto* list = std::get_if<std::vector<std::string>>(&given->value);
    MC_CHECK(list, "attribute 'activations' is no list of strings");
    names = *list;
    MC_CHECK(names.size() == defaults.size() * directions, "{} activations are given; {} are needed",
             names.size(), defaults.size() * directions);
  } else {
    for (size_t d = 0; d < directions; ++d) names.insert(names.end(), defaults.begin(), defaults.end());
  }
  const std::vector<float> alphas = node.get_floats("activation_alpha");
  const std::vector<float> betas = node.get_floats("activation_beta");
  auto alpha = alphas.begin();
  auto beta = betas.begin();
  std::vector<std::vector<CellActivation>> result(directions);
  for (size_t i = 0; i < names.size(); ++i) {
    const KnownActivation& known = known_activation(names[i]);
    CellActivation activation{known.kind, known.alpha, known.beta};
    if (known.parameters > 0 && alpha != alphas.end()) activation.alpha = *alpha++;
    if (known.parameters > 1 && beta != betas.end()) activation.beta = *beta++;
    result[i / defaults.size()].push_back(activation);
  }
  return result;
}

}  // namespace

at::Tensor CellActivation::operator()(const at::Tensor& x) const {
  switch (kind) {
    case Kind::kRelu:
      return at::relu(x);
    case Kind::kTanh:
      return at::tanh(x);
    case Kind::kSigmoid:
      return at::sigmoid(x);
    case Kind::kAffine:
      return x * alpha + beta;
    case Kind::kLeakyRelu:
      return at::leaky_relu(x, alpha);
    case Kind::kThresholdedRelu:
      return at::where(x >= alpha, x, at::zeros({}, x.options()));
    case Kind::kScaledTanh:
      return at::tanh(x * beta) * alpha;
    case Kind::kHardSigmoid:
      return (x * alpha + beta).clamp(0, 1);
    case Kind::kElu:
      return at::elu(x, alpha);
    case Kind::kSoftsign:
      return x / (x.abs() + 1);
    case Kind::kSoftplus:
      return at::softplus(x);
  }
  fail("an activation of kind {} cannot be", static_cast<int>(kind));
}

RecurrentSpec parse_recurrent(const Node& node, CellKind kind) {
  RecurrentSpec spec;
  spec.kind = kind;
  const std::string direction = node.get_string("direction", "forward");
  if (direction == "bidirectional") {
    spec.reversed = {false, true};
  } else {
    MC_CHECK(direction == "forward" || direction == "reverse",
             "direction '{}' is none of forward, reverse and bidirectional", direction);
    spec.reversed = {direction == "reverse"};
  }
  const int64_t layout = node.get_int("layout", 0);
  MC_CHECK(layout == 0 || layout == 1, "layout is {}; 0 and 1 exist", layout);
  spec.batch_first = layout == 1;
  spec.clip = node.get_float("clip", 0);
  MC_CHECK(spec.clip >= 0, "clip is {}; a limit is positive", spec.clip);
  spec.input_forget = node.get_int("input_forget", 0) != 0;
  spec.linear_before_reset = node.get_int("linear_before_reset", 0) != 0;
  spec.activations = parse_activations(node, kind, spec.reversed.size());
  return spec;
}

Cell::Cell(const RecurrentSpec& spec, int64_t direction, const CellWeights& weights)
    : spec_(spec),
      activations_(spec.activations[direction]),
      input_(weights.input.t()),
      recurrent_(weights.recurrent.t()) {
  if (weights.peephole.defined()) peepholes_ = weights.peephole.chunk(3);
  if (spec.kind == CellKind::kGru) {
    const int64_t size = recurrent_.size(0);
    const std::vector<at::Tensor> parts = recurrent_.split_with_sizes({2 * size, size}, 1);
    recurrent_ = parts[0];
    candidate_ = parts[1];
  }
  if (!weights.bias.defined()) return;
  const std::vector<at::Tensor> biases = weights.bias.chunk(2);
  if (spec.kind != CellKind::kGru || !spec.linear_before_reset) {
    input_bias_ = biases[0] + biases[1];
    return;
  }
  // The reset gate multiplies the recurrent bias of the candidate: it stays apart.
  const std::vector<at::Tensor> recurrent = biases[1].chunk(3);
  input_bias_ = biases[0] + at::cat({recurrent[0], recurrent[1], at::zeros_like(recurrent[2])});
  candidate_bias_ = recurrent[2];
}

at::Tensor Cell::project(const at::Tensor& x) const {
  const at::Tensor projected = at::matmul(x, input_);
  return input_bias_.defined() ? projected + input_bias_ : projected;
}

CellState Cell::step(const at::Tensor& projected, const CellState& state) const {
  if (spec_.kind == CellKind::kGru) return step_gru(projected, state);
  if (spec_.kind == CellKind::kLstm) return step_lstm(projected, state);
  return {activations_[0](clipped(at::addmm(projected, state.hidden, recurrent_))), {}};
}

at::Tensor Cell::clipped(const at::Tensor& x) const {
  return spec_.clip > 0 ? x.clamp(-spec_.clip, spec_.clip) : x;
}

CellState Cell::step_gru(const at::Tensor& projected, const CellState& state) const {
  const int64_t size = state.hidden.size(1);
  const std::vector<at::Tensor> inputs = projected.split_with_sizes({2 * size, size}, 1);
  const std::vector<at::Tensor> gates =
      activations_[0](clipped(at::addmm(inputs[0], state.hidden, recurrent_))).chunk(2, 1);
  const at::Tensor &update = gates[0], &reset = gates[1];
  at::Tensor candidate;
  if (spec_.linear_before_reset) {
    const at::Tensor linear = candidate_bias_.defined() ? at::addmm(candidate_bias_, state.hidden, candidate_)
                                                        : at::mm(state.hidden, candidate_);
    candidate = inputs[1] + reset * linear;
  } else {
    candidate = at::addmm(inputs[1], reset * state.hidden, candidate_);
  }
  candidate = activations_[1](clipped(candidate));
  return {candidate + update * (state.hidden - candidate), {}};
}

CellState Cell::step_lstm(const at::Tensor& projected, const CellState& state) const {
  const std::vector<at::Tensor> gates = at::addmm(projected, state.hidden, recurrent_).chunk(4, 1);
  const auto gate = [&](size_t i, const at::Tensor& cell) {  // of i, o, f
    return activations_[0](clipped(peepholes_.empty() ? gates[i] : gates[i] + peepholes_[i] * cell));
  };
  const at::Tensor input = gate(0, state.cell);
  const at::Tensor forget = spec_.input_forget ? 1 - input : gate(2, state.cell);
  const at::Tensor candidate = activations_[1](clipped(gates[3]));
  const at::Tensor cell = forget * state.cell + input * candidate;
  const at::Tensor output = gate(1, cell);
  return {output * activations_[2](cell), cell};  // not clipped: ONNX Runtime clips what gates take in
}

}  // namespace mc
