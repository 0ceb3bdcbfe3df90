// The Microsoft domain: GroupQueryAttention, causal attention over a cache of keys and values that each
// sample fills up to a length of its own. Ainslie et al., "GQA: training generalized multi-query transformer
// models from multi-head checkpoints" (2023).
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/attention.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// Inputs, by number.
enum GqaInput : size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kLastKey,  // seqlens_k: of each sample, the number of valid keys less one
  kTotal,    // total_sequence_length: of the longest sample
  kCosine,
  kSine,
  kPositions,
  kBias,
  kSink,
  kFirstUnsupported,
};

struct GroupQuery {
  int64_t heads, key_heads, window;
  double scale, softcap;
  bool rotary, interleaved, smooth;

  explicit GroupQuery(const Node& node)
      : heads(node.get_int("num_heads", 0)),
        key_heads(node.get_int("kv_num_heads", 0)),
        window(node.get_int("local_window_size", -1)),
        scale(node.get_float("scale", 0)),
        softcap(node.get_float("softcap", 0)),
        rotary(node.get_int("do_rotary", 0) != 0),
        interleaved(node.get_int("rotary_interleaved", 0) != 0),
        smooth(node.get_int("smooth_softmax", 0) == 1) {
    MC_CHECK(heads >= 1 && key_heads >= 1 && heads % key_heads == 0,
             "num_heads is {} and kv_num_heads {}; the second must divide the first", heads, key_heads);
    MC_CHECK(window == -1 || window >= 1, "local_window_size is {}; it must be -1 or at least 1", window);
    for (size_t i = kFirstUnsupported; i < node.inputs.size(); ++i) {
      MC_CHECK(node.inputs[i].empty(), "input {} (a scale of the cache, a norm's weight) is not supported",
               i);
    }
    for (const char* name : {"k_quant_type", "v_quant_type"}) {
      const std::string type = node.get_string(name, "NONE");
      MC_CHECK(type == "NONE", "{} is '{}'; only NONE is supported", name, type);
    }
    MC_CHECK(node.get_int("causal", 1) != 0 && node.get_int("qk_output", 0) == 0,
             "causal = 0 and qk_output are not supported");
  }
};

// A cache of `length`: each sample's `past` [batch, heads, room, size] up to its first position, `added` at
// its positions [batch, sequence], zeros behind.
at::Tensor extended_cache(const at::Tensor& past, const at::Tensor& added, const at::Tensor& positions,
                          int64_t length) {
  std::vector<int64_t> dims = added.sizes().vec();
  dims[2] = length;
  at::Tensor cache = at::zeros(dims, added.options().requires_grad(false));
  if (past.defined()) {
    MC_CHECK(past.dim() == 4 && past.size(1) == added.size(1) && past.size(3) == added.size(3) &&
                 past.size(0) == added.size(0),
             "the past [{}] does not fit the new keys or values [{}]", fmt::join(past.sizes(), ","),
             fmt::join(added.sizes(), ","));
    const at::Tensor row = at::arange(length, positions.options()).view({1, 1, length, 1});
    const at::Tensor unused = row >= positions.select(1, 0).view({-1, 1, 1, 1});
    cache = at::constant_pad_nd(past, {0, 0, 0, length - past.size(2)}).masked_fill(unused, 0);
  }
  const at::Tensor index = positions.view({positions.size(0), 1, positions.size(1), 1});
  return cache.scatter(2, index.expand(added.sizes()), added);
}

// softmax(scores) v, where a sink is one more score of each head that takes weight from the keys.
at::Tensor attend_with_sink(const at::Tensor& scores, const at::Tensor& v, const at::Tensor& sink) {
  if (!sink.defined()) return at::matmul(masked_softmax(scores), v);
  std::vector<int64_t> dims = scores.sizes().vec();
  dims[3] = 1;
  const at::Tensor column = sink.to(scores.scalar_type()).view({1, -1, 1, 1}).expand(dims);
  const at::Tensor weights = at::softmax(at::cat({scores, column}, 3), 3).narrow(3, 0, scores.size(3));
  return at::matmul(weights, v);
}

at::Tensor group_scores(const GroupQuery& settings, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& positions, const at::Tensor& bias) {
  const double size = static_cast<double>(q.size(3));
  at::Tensor scores =
      at::matmul(q, k.transpose(2, 3)) * (settings.scale != 0 ? settings.scale : 1 / std::sqrt(size));
  if (settings.softcap > 0) scores = at::tanh(scores / settings.softcap) * settings.softcap;
  if (bias.defined()) {
    MC_CHECK(bias.dim() == 4 && bias.size(3) >= scores.size(3),
             "attention_bias [{}] is too small for {} keys", fmt::join(bias.sizes(), ","), scores.size(3));
    scores = scores + bias.narrow(3, 0, scores.size(3));
  }
  const at::Tensor key = at::arange(k.size(2), positions.options());
  const at::Tensor query = positions.unsqueeze(1).unsqueeze(3);
  at::Tensor hidden = key > query;
  if (settings.window > 0) hidden = hidden | (key <= query - settings.window);
  return scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

Kernel bind_group_query(const BindContext& context) {
  return [settings = GroupQuery(context.node)](const KernelArgs& args) {
    const at::Tensor& query = args.in(kQuery);
    MC_CHECK(query.dim() == 3 && args.has(kLastKey) && args.has(kTotal),
             "the query has {} dims, not 3, or the lengths are missing", query.dim());
    at::Tensor q, k, v;
    if (args.has(kKey)) {
      q = split_heads(query, settings.heads, "num_heads");
      k = split_heads(args.in(kKey), settings.key_heads, "kv_num_heads");
      v = split_heads(args.in(kValue), settings.key_heads, "kv_num_heads");
    } else {
      const at::Tensor all = split_heads(query, settings.heads + 2 * settings.key_heads, "num_heads");
      q = all.narrow(1, 0, settings.heads);
      k = all.narrow(1, settings.heads, settings.key_heads);
      v = all.narrow(1, settings.heads + settings.key_heads, settings.key_heads);
    }
    const int64_t batch = q.size(0), sequence = q.size(2);
    const int64_t total = args.in(kTotal).item<int64_t>();
    MC_CHECK(k.size(2) == sequence && total >= sequence && args.in(kLastKey).numel() == batch,
             "{} queries, {} keys, a total of {} and {} lengths contradict each other", sequence, k.size(2),
             total, args.in(kLastKey).numel());
    // The first prompt starts at 0 whatever its padding; later each sample goes on where it stands.
    const at::Tensor last = args.in(kLastKey).reshape({batch, 1}).to(at::kLong);
    const at::Tensor start = total == sequence ? at::zeros_like(last) : last + 1 - sequence;
    MC_CHECK(!start.is_cpu() || ((start >= 0) & (start + sequence <= total)).all().item<bool>(),
             "seqlens_k leaves a sample with less than {} or more than {} keys", sequence, total);
    const at::Tensor positions = start + at::arange(sequence, start.options());
    if (settings.rotary) {
      MC_CHECK(args.has(kCosine) && args.has(kSine), "do_rotary needs cos_cache and sin_cache");
      const at::Tensor turned = args.has(kPositions) ? args.in(kPositions) : positions;
      const auto angles = [&](size_t input) { return at::embedding(args.in(input), turned).unsqueeze(1); };
      const at::Tensor cosine = angles(kCosine), sine = angles(kSine);
      q = turn_pairs(q, cosine, sine, settings.interleaved);
      k = turn_pairs(k, cosine, sine, settings.interleaved);
    }
    const int64_t room = args.has(kPastKey) ? args.in(kPastKey).size(2) : 0;
    const int64_t length = std::max(room, total);
    k = extended_cache(args.in_or(kPastKey), k, positions, length);
    v = extended_cache(args.in_or(kPastValue), v, positions, length);
    args.out(1, k);
    args.out(2, v);
    k = repeat_heads(k.narrow(2, 0, total), settings.heads);
    v = repeat_heads(v.narrow(2, 0, total), settings.heads);
    at::Tensor sink = args.in_or(kSink);
    if (!sink.defined() && settings.smooth) sink = at::zeros({settings.heads}, q.options());
    const at::Tensor scores = group_scores(settings, q, k, positions, args.in_or(kBias));
    args.out(0, merge_heads(attend_with_sink(scores, v, sink)));
  };
}

void infer_group_query(InferContext& context) {
  const GroupQuery settings(context.node());
  const Shape* q = input_shape(context, kQuery);
  const Shape* v = input_shape(context, kValue);
  std::optional<Shape> y, present;
  if (q && q->size() == 3) {
    const bool packed = context.node().input(kKey).empty();
    const int64_t slices = packed ? settings.heads + 2 * settings.key_heads : settings.heads;
    Dim size;
    if ((*q)[2].known()) size = Dim((*q)[2].value / slices);
    if (v && v->size() == 3 && (*v)[2].known()) size = Dim((*v)[2].value / settings.key_heads);
    y = Shape{(*q)[0], (*q)[1], multiply_dims(Dim(settings.heads), size)};
    present = Shape{(*q)[0], Dim(settings.key_heads), Dim(), size};
    const IntsArgument total = ints_argument(context, kTotal);
    const Shape* past = input_shape(context, kPastKey);
    const bool past_known = context.node().input(kPastKey).empty() || (past && past->size() == 4);
    if (total.values && total.values->size() == 1 && past_known && (!past || (*past)[2].known())) {
      (*present)[2] = Dim(std::max(total.values->front(), past ? (*past)[2].value : 0));
    }
  }
  context.output(0, Type::tensor(input_dtype(context, kQuery), y));
  for (size_t i = 1; i < context.node().outputs.size() && i < 3; ++i) {
    context.output(i, Type::tensor(input_dtype(context, kQuery), present));
  }
}

}  // namespace

std::vector<Op> contrib_gqa_ops() {
  return {microsoft_op("GroupQueryAttention", bind_group_query, infer_group_query)};
}

}  // namespace mc
