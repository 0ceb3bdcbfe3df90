#include "mc/ops/recurrent_fused.h"

#include <algorithm>
#include <tuple>

#include <ATen/ATen.h>

namespace mc {
namespace {

// Where LibTorch's gates stand among ONNX's: i f c o of i o f c, r z h of z r h.
std::vector<int64_t> gate_order(CellKind kind) {
  if (kind == CellKind::kLstm) return {0, 2, 3, 1};
  if (kind == CellKind::kGru) return {1, 0, 2};
  return {0};
}

}  // namespace

bool fits_fused(const RecurrentSpec& spec, const Node& node) {
  using Kind = CellActivation::Kind;
  if (spec.clip > 0 || spec.input_forget || !node.input(kLengths).empty()) return false;
  if (spec.kind == CellKind::kLstm && !node.input(kPeepholes).empty()) return false;
  if (spec.kind == CellKind::kGru && !spec.linear_before_reset) return false;
  const Kind first = spec.activations[0][0].kind;
  return std::ranges::all_of(spec.activations, [&](const std::vector<CellActivation>& functions) {
    if (spec.kind == CellKind::kRnn)
      return functions[0].kind == first && (first == Kind::kTanh || first == Kind::kRelu);
    return functions[0].kind == Kind::kSigmoid &&
           std::all_of(functions.begin() + 1, functions.end(),
                       [](const CellActivation& f) { return f.kind == Kind::kTanh; });
  });
}

std::vector<at::Tensor> fused_parameters(CellKind kind, const at::Tensor& weights,
                                         const at::Tensor& recurrence, const at::Tensor& bias) {
  const std::vector<int64_t> order = gate_order(kind);
  const auto gates = static_cast<int64_t>(order.size());
  const int64_t size = recurrence.size(2);
  std::vector<at::Tensor> pieces;
  std::vector<std::vector<int64_t>> shapes;
  const auto add = [&](const at::Tensor& rows, std::vector<int64_t> shape) {  // gates * size rows
    for (const int64_t gate : order) pieces.push_back(rows.narrow(0, gate * size, size).reshape(-1));
    shapes.push_back(std::move(shape));
  };
  for (int64_t d = 0; d < weights.size(0); ++d) {
    add(weights[d], {gates * size, weights.size(2)});
    add(recurrence[d], {gates * size, size});
  }
  for (int64_t d = 0; bias.defined() && d < weights.size(0); ++d) {
    add(bias[d].narrow(0, 0, gates * size), {gates * size});
    add(bias[d].narrow(0, gates * size, gates * size), {gates * size});
  }
  const at::Tensor flat = at::cat(pieces);
  std::vector<at::Tensor> views;
  int64_t begin = 0;
  for (const std::vector<int64_t>& shape : shapes) {
    const int64_t count = c10::multiply_integers(shape);
    views.push_back(flat.narrow(0, begin, count).view(shape));
    begin += count;
  }
  if (!bias.defined()) return views;
  // By direction: both matrices, both biases.
  std::vector<at::Tensor> parameters;
  const size_t half = views.size() / 2;
  for (size_t i = 0; i < half; i += 2) {
    parameters.insert(parameters.end(), {views[i], views[i + 1], views[half + i], views[half + i + 1]});
  }
  return parameters;
}

RecurrentResult run_fused(const RecurrentSpec& spec, const RecurrentRun& run,
                          const std::vector<at::Tensor>& parameters) {
  const bool both = spec.directions() == 2;
  const bool backward = !both && spec.reversed[0];
  const bool train = at::GradMode::is_enabled();
  const bool biased = run.bias.defined();
  const at::Tensor x = backward ? run.x.flip(0) : run.x;
  RecurrentResult result;
  if (spec.kind == CellKind::kLstm) {
    std::tie(result.y, result.hidden, result.cell) =
        at::lstm(x, {run.hidden, run.cell}, parameters, biased, 1, 0, train, both, false);
  } else if (spec.kind == CellKind::kGru) {
    std::tie(result.y, result.hidden) = at::gru(x, run.hidden, parameters, biased, 1, 0, train, both, false);
  } else {
    const bool tanh = spec.activations[0][0].kind == CellActivation::Kind::kTanh;
    std::tie(result.y, result.hidden) =
        tanh ? at::rnn_tanh(x, run.hidden, parameters, biased, 1, 0, train, both, false)
             : at::rnn_relu(x, run.hidden, parameters, biased, 1, 0, train, both, false);
  }
  if (backward) result.y = result.y.flip(0);
  result.y = result.y.reshape({run.x.size(0), run.x.size(1), spec.directions(), run.hidden.size(2)});
  return result;
}

}  // namespace mc
