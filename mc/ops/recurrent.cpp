// RNN, GRU and LSTM: through LibTorch's fused operators where they compute the same, step by step where not
// (lengths by sequence, peepholes, clipping, other activations, a GRU that resets before its product).
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/recurrent_fused.h"

namespace mc {
namespace {

void check_recurrent_sizes(const char* name, const at::Tensor& tensor, std::vector<int64_t> sizes) {
  MC_CHECK(tensor.sizes() == at::IntArrayRef(sizes), "{} is [{}]; [{}] is needed", name,
           fmt::join(tensor.sizes(), ","), fmt::join(sizes, ","));
}

void check_sequence_lens(const at::Tensor& lengths, int64_t batch, int64_t time) {
  check_recurrent_sizes("sequence_lens", lengths, {batch});
  MC_CHECK(!at::isFloatingType(lengths.scalar_type()), "sequence_lens holds no integers");
  if (!lengths.is_cpu()) return;  // looking would stall a device; the steps past the end are no harm
  MC_CHECK(((lengths >= 0) & (lengths <= time)).all().item<bool>(),
           "sequence_lens holds a length outside of 0 to {}", time);
}

RecurrentRun read_run(const RecurrentSpec& spec, const KernelArgs& args) {
  RecurrentRun run;
  MC_CHECK(args.has(kData) && args.has(kWeights) && args.has(kRecurrence), "X, W or R is missing");
  run.x = args.in(kData);
  run.weights = args.in(kWeights);
  run.recurrence = args.in(kRecurrence);
  run.bias = args.in_or(kBias);
  run.lengths = args.in_or(kLengths);
  MC_CHECK(run.x.dim() == 3 && run.recurrence.dim() == 3, "X and R have {} and {} dims; both need 3",
           run.x.dim(), run.recurrence.dim());
  if (spec.batch_first) run.x = run.x.transpose(0, 1);
  const int64_t directions = spec.directions(), batch = run.x.size(1), size = run.recurrence.size(2);
  check_recurrent_sizes("W", run.weights, {directions, spec.gates() * size, run.x.size(2)});
  check_recurrent_sizes("R", run.recurrence, {directions, spec.gates() * size, size});
  if (run.bias.defined()) check_recurrent_sizes("B", run.bias, {directions, 2 * spec.gates() * size});
  if (run.lengths.defined()) check_sequence_lens(run.lengths, batch, run.x.size(0));
  const auto state = [&](const char* name, size_t input) {
    if (!args.has(input)) return at::zeros({directions, batch, size}, run.x.options());
    const at::Tensor given = args.in(input);
    MC_CHECK(given.dim() == 3, "{} has {} dims; it needs 3", name, given.dim());
    const at::Tensor first = spec.batch_first ? given.transpose(0, 1) : given;
    check_recurrent_sizes(name, first, {directions, batch, size});
    return on_device_of(first, run.x);
  };
  run.hidden = state("initial_h", kHidden);
  if (spec.kind != CellKind::kLstm) return run;
  run.cell = state("initial_c", kCell);
  run.peepholes = args.in_or(kPeepholes);
  if (run.peepholes.defined()) check_recurrent_sizes("P", run.peepholes, {directions, 3 * size});
  return run;
}

// One direction step by step. Past the end of its sequence a row keeps its state and gives zeros; run
// backwards, it therefore begins at the last step of its own.
CellState run_direction(const RecurrentSpec& spec, int64_t direction, const RecurrentRun& run,
                        std::vector<at::Tensor>& outputs) {
  const auto part = [direction](const at::Tensor& t) { return t.defined() ? t[direction] : t; };
  const Cell cell(spec, direction,
                  {run.weights[direction], run.recurrence[direction], part(run.bias), part(run.peepholes)});
  CellState state{run.hidden[direction], part(run.cell)};
  const std::vector<at::Tensor> projected = cell.project(run.x).unbind(0);
  const auto steps = static_cast<int64_t>(projected.size());
  const at::Tensor lengths =
      run.lengths.defined() ? on_device_of(run.lengths, run.x).unsqueeze(1) : at::Tensor();
  outputs.resize(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = spec.reversed[direction] ? steps - 1 - i : i;
    CellState next = cell.step(projected[t], state);
    outputs[t] = next.hidden;
    if (lengths.defined()) {
      const at::Tensor inside = lengths > t;
      outputs[t] = outputs[t].masked_fill(inside.logical_not(), 0);
      next.hidden = at::where(inside, next.hidden, state.hidden);
      if (next.cell.defined()) next.cell = at::where(inside, next.cell, state.cell);
    }
    state = std::move(next);
  }
  return state;
}

RecurrentResult run_steps(const RecurrentSpec& spec, const RecurrentRun& run) {
  std::vector<at::Tensor> ys, hiddens, cells;
  for (int64_t d = 0; d < spec.directions(); ++d) {
    std::vector<at::Tensor> outputs;
    CellState last = run_direction(spec, d, run, outputs);
    ys.push_back(outputs.empty() ? at::empty({0, run.x.size(1), run.hidden.size(2)}, run.x.options())
                                 : at::stack(outputs));
    hiddens.push_back(std::move(last.hidden));
    if (last.cell.defined()) cells.push_back(std::move(last.cell));
  }
  return {at::stack(ys, 2), at::stack(hiddens), cells.empty() ? at::Tensor() : at::stack(cells)};
}

// The fused operators' weights where the model's are constants: put in order once.
std::vector<at::Tensor> constant_parameters(const RecurrentSpec& spec, const BindContext& context) {
  const auto constant = [&](size_t i) { return context.constant ? context.constant(i) : nullptr; };
  const Tensor *weights = constant(kWeights), *recurrence = constant(kRecurrence), *bias = constant(kBias);
  if (!weights || !recurrence || (!bias && !context.node.input(kBias).empty())) return {};
  const int64_t directions = spec.directions(), gates = spec.gates();
  const auto fits = [&](const Tensor& t, size_t rank) {
    return t.dims.size() == rank && t.dims[0] == directions;
  };
  if (!fits(*weights, 3) || !fits(*recurrence, 3) || (bias && !fits(*bias, 2))) return {};
  const int64_t rows = gates * recurrence->dims[2];
  if (weights->dims[1] != rows || recurrence->dims[1] != rows || (bias && bias->dims[1] != 2 * rows))
    return {};
  const at::NoGradGuard no_grad;
  return fused_parameters(spec.kind, to_aten(*weights, false), to_aten(*recurrence, false),
                          bias ? to_aten(*bias, false) : at::Tensor());
}

Kernel bind_recurrent(const BindContext& context, CellKind kind) {
  const RecurrentSpec spec = parse_recurrent(context.node, kind);
  const bool fused = fits_fused(spec, context.node);
  return [spec, fused, known = fused ? constant_parameters(spec, context) : std::vector<at::Tensor>()](
             const KernelArgs& args) {
    const RecurrentRun run = read_run(spec, args);
    RecurrentResult result;
    if (fused && run.x.numel() > 0 && run.hidden.numel() > 0) {
      const bool ready = !known.empty() && run.x.is_cpu();
      result = run_fused(spec, run,
                         ready ? known : fused_parameters(spec.kind, run.weights, run.recurrence, run.bias));
    } else {
      result = run_steps(spec, run);
    }
    const auto out = [&](size_t i, const at::Tensor& state) {
      if (state.defined()) args.out(i, spec.batch_first ? state.transpose(0, 1) : state);
    };
    // [time, batch, directions, hidden] to batch, time, directions or time, directions, batch.
    if (args.wants(0)) args.out(0, spec.batch_first ? result.y.transpose(0, 1) : result.y.transpose(1, 2));
    out(1, result.hidden);
    out(2, result.cell);
  };
}

void infer_recurrent(InferContext& context, CellKind kind) {
  const RecurrentSpec spec = parse_recurrent(context.node(), kind);
  const Shape* x = input_shape(context, kData);
  const Shape* r = input_shape(context, kRecurrence);
  MC_CHECK(!x || x->size() == 3, "X has {} dims; it needs 3", x->size());
  MC_CHECK(!r || r->size() == 3, "R has {} dims; it needs 3", r->size());
  const int64_t declared = context.node().get_int("hidden_size", 0);
  Dim size = declared > 0 ? Dim(declared) : Dim();
  if (r) size = merge_dims(size, (*r)[2]);
  const Dim time = x ? (*x)[spec.batch_first ? 1 : 0] : Dim();
  const Dim batch = x ? (*x)[spec.batch_first ? 0 : 1] : Dim();
  const Dim directions(spec.directions());
  const Shape y =
      spec.batch_first ? Shape{batch, time, directions, size} : Shape{time, directions, batch, size};
  const Shape state = spec.batch_first ? Shape{batch, directions, size} : Shape{directions, batch, size};
  for (size_t i = 0; i < context.node().outputs.size(); ++i) {
    context.output(i, Type::tensor(input_dtype(context, kData), i == 0 ? y : state));
  }
}

// Every element of both matrices meets every row of the batch in every step.
double recurrent_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape>) {
  if (inputs.size() <= kRecurrence || inputs[kData].size() != 3) return 0;
  return element_count({inputs[kData][0], inputs[kData][1]}) *
         (element_count(inputs[kWeights]) + element_count(inputs[kRecurrence]));
}

Op recurrent_op(const char* name, CellKind kind) {
  Op op;
  op.name = name;
  op.since = 7;
  op.roles = {Role::kConstant, Role::kWeight,   Role::kWeight,   Role::kWeight,
              Role::kConstant, Role::kConstant, Role::kConstant, Role::kConstant};
  if (kind == CellKind::kLstm) op.roles[kPeepholes] = Role::kWeight;
  op.bind = [kind](const BindContext& context) { return bind_recurrent(context, kind); };
  op.infer = [kind](InferContext& context) { infer_recurrent(context, kind); };
  op.macs = recurrent_macs;
  return op;
}

}  // namespace

std::vector<Op> recurrent_ops() {
  return {recurrent_op("RNN", CellKind::kRnn), recurrent_op("GRU", CellKind::kGru),
          recurrent_op("LSTM", CellKind::kLstm)};
}

}  // namespace mc
