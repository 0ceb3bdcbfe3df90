// LinearAttention: a recurrence over a matrix of memory a head, which fades, is written to and read at every
// step; computed in chunks of steps (Yang, Kautz, Hatamizadeh, "Gated Delta Networks", 2024).
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"
#include "mc/ops/state_ops.h"

namespace mc {
namespace {

struct LinearAttention {
  int64_t query_heads, key_heads;
  std::optional<double> scale;
  bool gated = false;  // the memory fades before each step
  bool delta = false;  // a step writes only what the memory does not hold yet
};

LinearAttention parse_linear_attention(const Node& node) {
  LinearAttention attention{node.get_int("q_num_heads", 0), node.get_int("kv_num_heads", 0), std::nullopt};
  MC_CHECK(attention.key_heads >= 1 && attention.query_heads >= 1 &&
               attention.query_heads % attention.key_heads == 0,
           "q_num_heads is {} and kv_num_heads {}; the first must be a positive multiple of the second",
           attention.query_heads, attention.key_heads);
  if (node.get_float("scale", 0) != 0) attention.scale = node.get_float("scale", 0);
  const std::string rule = node.get_string("update_rule", "gated_delta");
  MC_CHECK(rule == "linear" || rule == "gated" || rule == "delta" || rule == "gated_delta",
           "update_rule is '{}', not linear, gated, delta or gated_delta", rule);
  attention.gated = rule == "gated" || rule == "gated_delta";
  attention.delta = rule == "delta" || rule == "gated_delta";
  const bool has_decay = !node.input(4).empty(), has_beta = !node.input(5).empty();
  MC_CHECK(has_decay == attention.gated, "update_rule {} {} the input decay", rule,
           attention.gated ? "needs" : "does not take");
  MC_CHECK(has_beta == attention.delta, "update_rule {} {} the input beta", rule,
           attention.delta ? "needs" : "does not take");
  return attention;
}

// [batch, steps, heads x size] as [batch, heads, steps, size], in the type that the recurrence runs in.
at::Tensor by_heads(const at::Tensor& x, int64_t heads, at::ScalarType math, const char* name) {
  MC_CHECK(x.dim() == 3 && heads >= 1 && x.size(2) % heads == 0,
           "{} is [{}]; [batch, steps, {} heads x size] is needed", name, fmt::join(x.sizes(), ","), heads);
  return x.to(math).reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

// What goes through the recurrence, [batch, heads, steps, size].
struct Steps {
  at::Tensor query;  // [batch, heads, group, steps, key size], scaled: those that share a memory together
  at::Tensor key, value;
  at::Tensor decay;  // one number a step, or one for each row of the memory; undefined: none fades
  at::Tensor rate;   // of the delta rule; undefined without it

  Steps chunk(int64_t start, int64_t length) const {
    const auto cut = [=](const at::Tensor& x) { return x.defined() ? x.narrow(2, start, length) : x; };
    return {query.narrow(3, start, length), cut(key), cut(value), cut(decay), cut(rate)};
  }
};

Steps parse_steps(const LinearAttention& attention, const KernelArgs& args, at::ScalarType math) {
  const int64_t heads = attention.key_heads;
  const at::Tensor q = by_heads(args.in(0), attention.query_heads, math, "query");
  const int64_t batch = q.size(0), steps = q.size(2), key_size = q.size(3);
  const double scale = attention.scale.value_or(1 / std::sqrt(static_cast<double>(key_size)));
  Steps all;
  all.query = q.reshape({batch, heads, attention.query_heads / heads, steps, key_size}) * scale;
  all.key = by_heads(args.in(1), heads, math, "key");
  all.value = by_heads(args.in(2), heads, math, "value");
  if (attention.gated) all.decay = by_heads(args.in(4), heads, math, "decay");
  if (attention.delta)
    all.rate = by_heads(args.in(5), args.in(5).dim() == 3 ? args.in(5).size(2) : 1, math, "beta");
  for (const at::Tensor& x : {all.key, all.value, all.decay, all.rate}) {
    MC_CHECK(!x.defined() || (x.size(0) == batch && x.size(2) == steps),
             "an input has {} samples of {} steps; the query has {} of {}", x.size(0), x.size(2), batch,
             steps);
  }
  MC_CHECK(all.key.size(3) == key_size, "a key has {} elements and a query {}", all.key.size(3), key_size);
  MC_CHECK(!attention.gated || all.decay.size(3) == 1 || all.decay.size(3) == key_size,
           "decay has {} numbers a head; 1 or {} fit", all.decay.size(3), key_size);
  MC_CHECK(!attention.delta || all.rate.size(1) == 1 || all.rate.size(1) == heads,
           "beta has {} numbers a step; 1 or {} fit", all.rate.size(1), heads);
  return all;
}

// Products of `asked` [..., steps, key size] with the keys up to the same step, faded by what lies between:
// [..., steps, steps]. `left` is what is left at a step (row) of what an earlier one (column) wrote.
at::Tensor faded_scores(const at::Tensor& asked, const at::Tensor& key, const at::Tensor& left) {
  if (left.defined() && left.size(-1) > 1)  // every row of the memory fades at its own pace
    return (asked.unsqueeze(-2) * key.unsqueeze(-3) * left).sum(-1);
  const at::Tensor scores = at::matmul(asked, key.transpose(-2, -1));
  return left.defined() ? scores * left.squeeze(-1) : scores.tril();
}

// All steps of a chunk at once (section 3.3 of the paper): what a step writes depends on the steps before it
// in the chunk through a triangular system, and on earlier chunks through `memory` [batch, heads, key size,
// value size], which becomes that after the chunk. Returns what the queries read.
at::Tensor run_chunk(const Steps& chunk, at::Tensor& memory) {
  at::Tensor key = chunk.key, query = chunk.query, value = chunk.value, left, kept_key = chunk.key;
  at::Tensor kept = memory;
  if (chunk.decay.defined()) {
    // Sums in double, so that their differences are exact enough after a gate that forgets all.
    const at::Tensor faded = chunk.decay.to(at::kDouble).clamp_min(-1e4).cumsum(2);
    const at::Tensor total = faded.narrow(2, faded.size(2) - 1, 1);
    const auto type = memory.scalar_type();
    const int64_t steps = faded.size(2);
    const at::Tensor later = at::ones({steps, steps}, faded.options().dtype(at::kBool)).triu(1).unsqueeze(-1);
    left = (faded.unsqueeze(3) - faded.unsqueeze(2)).masked_fill(later, -INFINITY).exp().to(type);
    const at::Tensor from_memory = faded.exp().to(type);
    key = key * from_memory;
    query = query * from_memory.unsqueeze(2);
    kept_key = kept_key * (total - faded).exp().to(type);
    kept = memory * total.exp().to(type).transpose(2, 3);
  }
  if (chunk.rate.defined()) {
    value = chunk.rate * (value - at::matmul(key, memory));
    if (value.size(2) > 1) {
      const at::Tensor system = chunk.rate * faded_scores(chunk.key, chunk.key, left);
      value = at::linalg_solve_triangular(system, value, /*upper=*/false, /*left=*/true,
                                          /*unitriangular=*/true);
    }
  }
  const at::Tensor scores =
      faded_scores(chunk.query, chunk.key.unsqueeze(2), left.defined() ? left.unsqueeze(2) : left);
  const at::Tensor read = at::matmul(query, memory.unsqueeze(2)) + at::matmul(scores, value.unsqueeze(2));
  memory = kept + at::matmul(kept_key.transpose(2, 3), value);
  return read;
}

Kernel bind_linear_attention(const BindContext& context) {
  const int64_t wanted = context.node.get_int("chunk_size", 64);
  MC_CHECK(wanted >= 1, "chunk_size is {}; it must be at least 1", wanted);
  return [attention = parse_linear_attention(context.node), wanted](const KernelArgs& args) {
    const at::ScalarType type = args.in(0).scalar_type();
    const at::ScalarType math = type == at::kDouble ? at::kDouble : at::kFloat;
    const Steps all = parse_steps(attention, args, math);
    const int64_t batch = all.value.size(0), heads = all.value.size(1), steps = all.value.size(2),
                  key_size = all.key.size(3), value_size = all.value.size(3);
    at::Tensor memory;
    if (args.has(3)) {
      memory = args.in(3).to(math);
      MC_CHECK(memory.sizes() == at::IntArrayRef({batch, heads, key_size, value_size}),
               "past_state is [{}]; [{},{},{},{}] is needed", fmt::join(memory.sizes(), ","), batch, heads,
               key_size, value_size);
    } else {
      memory = at::zeros({batch, heads, key_size, value_size}, all.value.options());
    }
    // A gate of its own for each row makes a chunk's scores as many times larger.
    const bool wide = attention.gated && all.decay.size(3) > 1;
    const int64_t size = std::min<int64_t>(wanted, wide ? 16 : 256);
    std::vector<at::Tensor> reads;
    for (int64_t start = 0; start < steps; start += size)
      reads.push_back(run_chunk(all.chunk(start, std::min(size, steps - start)), memory));
    const int64_t group = attention.query_heads / heads;
    at::Tensor y = at::zeros({batch, heads, group, 0, value_size}, memory.options());
    if (!reads.empty()) y = at::cat(reads, 3);
    args.out(0,
             y.permute({0, 3, 1, 2, 4}).reshape({batch, steps, attention.query_heads * value_size}).to(type));
    args.out(1, memory.to(args.has(3) ? args.in(3).scalar_type() : type));
  };
}

// A last axis of heads x size without the heads; unknown stays unknown.
Dim head_size(const Dim& packed, int64_t heads) {
  if (!packed.known()) return Dim();
  MC_CHECK(packed.value % heads == 0, "{} elements do not go to {} heads", packed.value, heads);
  return Dim(packed.value / heads);
}

void infer_linear_attention(InferContext& context) {
  const LinearAttention attention = parse_linear_attention(context.node());
  const Shape* q = input_shape(context, 0);
  const Shape* v = input_shape(context, 2);
  for (const Shape* x : {q, v})
    MC_CHECK(!x || x->size() == 3, "query and value have 3 dims, not {}", x ? x->size() : 0);
  const Dim key_size = q ? head_size((*q)[2], attention.query_heads) : Dim();
  const Dim value_size = v ? head_size((*v)[2], attention.key_heads) : Dim();
  const Dim batch = q ? (*q)[0] : Dim();
  context.output(
      0, Type::tensor(input_dtype(context, 0), Shape{batch, q ? (*q)[1] : Dim(),
                                                     multiply_dims(Dim(attention.query_heads), value_size)}));
  const DType state = input_dtype(context, context.node().input(3).empty() ? 0 : 3);
  context.output(1, Type::tensor(state, Shape{batch, Dim(attention.key_heads), key_size, value_size}));
}

// Each step writes a memory and each query reads one; the delta rule reads once more for each key.
double linear_attention_macs(const Node& node, std::span<const Shape> inputs, std::span<const Shape>) {
  if (inputs.size() < 3 || inputs[0].size() != 3 || inputs[2].size() != 3) return 0;
  const LinearAttention attention = parse_linear_attention(node);
  const Dim key_size = head_size(inputs[0][2], attention.query_heads);
  const double memory = element_count({key_size, head_size(inputs[2][2], attention.key_heads)});
  const auto passes =
      static_cast<double>(attention.query_heads + (attention.delta ? 2 : 1) * attention.key_heads);
  return element_count({inputs[0][0], inputs[0][1]}) * passes * memory;
}

}  // namespace

std::vector<Op> linear_attention_ops() {
  Op attention = make_op("LinearAttention", 27, bind_linear_attention, infer_linear_attention);
  attention.macs = linear_attention_macs;
  return {attention, causal_conv_op(), tensor_scatter_op(), swiglu_op()};
}

}  // namespace mc
