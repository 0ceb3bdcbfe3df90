// The Microsoft domain: attention with its projections and caches.
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

constexpr double kHiddenScore = -std::numeric_limits<double>::infinity();

struct AttentionForm {
  int64_t heads = 0;
  std::optional<double> scale;
  double filter = -10000;  // added to the scores of padding
  bool causal = false;

  double factor(const at::Tensor& q) const {
    return scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  }
};

AttentionForm parse_attention_form(const Node& node) {
  AttentionForm settings;
  settings.heads = node.get_int("num_heads", 0);
  MC_CHECK(settings.heads >= 1, "num_heads is {}; it must be at least 1", settings.heads);
  // 0 stands for the default.
  if (node.get_float("scale", 0) != 0) settings.scale = node.get_float("scale", 0);
  settings.filter = node.get_float("mask_filter_value", -10000.0f);
  settings.causal = node.get_int("unidirectional", 0) != 0;
  MC_CHECK(node.get_int("past_present_share_buffer", 0) == 0 && node.get_int("do_rotary", 0) == 0,
           "past_present_share_buffer and do_rotary are not supported in {}", node.op_type);
  return settings;
}

// Which keys each sample's mask lets its queries see, as bool that broadcasts to [batch, 1, queries, keys]:
// counts of valid keys [batch], the same and first valid keys [2 batch], flags [batch, keys] or
// [batch, queries, keys].
at::Tensor valid_keys(const at::Tensor& mask, int64_t batch, int64_t queries, int64_t keys) {
  if (mask.dim() == 1) {
    MC_CHECK(mask.size(0) == batch || mask.size(0) == 2 * batch || mask.size(0) == 3 * batch + 2,
             "the mask has {} numbers for {} samples", mask.size(0), batch);
    const at::Tensor key = at::arange(keys, mask.options()).unsqueeze(0);
    at::Tensor valid = key < mask.narrow(0, 0, batch).unsqueeze(1);
    if (mask.size(0) == 2 * batch) valid = valid & (key >= mask.narrow(0, batch, batch).unsqueeze(1));
    return valid.view({batch, 1, 1, keys});
  }
  const bool each = mask.dim() == 3;
  MC_CHECK((each || mask.dim() == 2) && mask.size(0) == batch && mask.size(-1) == keys &&
               (!each || mask.size(1) == queries),
           "the mask [{}] does not fit {} samples of {} queries and {} keys", fmt::join(mask.sizes(), ","),
           batch, queries, keys);
  return (mask != 0).view({batch, 1, each ? queries : 1, keys});
}

// What is added to the scores of q with k: the mask, causality, the bias. Undefined for nothing.
at::Tensor score_bias(const AttentionForm& settings, const at::Tensor& q, const at::Tensor& k,
                      const at::Tensor& mask, const at::Tensor& bias) {
  const int64_t queries = q.size(2), keys = k.size(2);
  at::Tensor sum = bias;
  const auto hide = [&](const at::Tensor& hidden, double value) {
    const at::Tensor part = at::zeros(hidden.sizes(), q.options()).masked_fill(hidden, value);
    sum = sum.defined() ? sum + part : part;
  };
  if (mask.defined()) hide(valid_keys(mask, q.size(0), queries, keys).logical_not(), settings.filter);
  if (settings.causal) {
    const at::Tensor seen = at::ones({queries, keys}, q.options().dtype(at::kBool)).tril(keys - queries);
    hide(seen.logical_not(), kHiddenScore);
  }
  return sum;
}

at::Tensor attend_biased(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const at::Tensor& bias, double scale) {
  const std::optional<at::Tensor> mask = bias.defined() ? std::optional(bias) : std::nullopt;
  return merge_heads(at::scaled_dot_product_attention(q, k, v, mask, 0, /*is_causal=*/false, scale));
}

// input, weights (of queries, keys and values side by side), bias, mask_index, past [2, batch, heads,
// sequence, size], attention_bias.
Kernel bind_unfused_attention(const BindContext& context) {
  const std::vector<int64_t> given = context.node.get_ints("qkv_hidden_sizes");
  MC_CHECK(given.empty() || (given.size() == 3 && given[0] == given[1]),
           "qkv_hidden_sizes [{}] must be three numbers, the first two alike", fmt::join(given, ","));
  return [settings = parse_attention_form(context.node), given](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor& w = args.in(1);
    MC_CHECK(x.dim() == 3 && w.dim() == 2 && x.size(2) == w.size(0),
             "the input [{}] does not meet the weights [{}]", fmt::join(x.sizes(), ","),
             fmt::join(w.sizes(), ","));
    MC_CHECK(!given.empty() || w.size(1) % 3 == 0, "the weights have {} columns, not three equal parts",
             w.size(1));
    const std::vector<int64_t> sizes = given.empty() ? std::vector<int64_t>(3, w.size(1) / 3) : given;
    at::Tensor projected = at::matmul(x, w);
    if (args.has(2)) projected = projected + args.in(2);
    const auto parts = projected.split_with_sizes(sizes, 2);
    const at::Tensor q = split_heads(parts[0], settings.heads, "num_heads");
    at::Tensor k = split_heads(parts[1], settings.heads, "num_heads");
    at::Tensor v = split_heads(parts[2], settings.heads, "num_heads");
    if (args.has(4)) {
      MC_CHECK(args.in(4).dim() == 5 && args.in(4).size(0) == 2, "past [{}] is not [2, batch, heads, ...]",
               fmt::join(args.in(4).sizes(), ","));
      k = at::cat({args.in(4).select(0, 0), k}, 2);
      v = at::cat({args.in(4).select(0, 1), v}, 2);
    }
    if (args.wants(1)) args.out(1, at::stack({k, v}));
    args.out(0, attend_biased(q, k, v, score_bias(settings, q, k, args.in_or(3), args.in_or(5)),
                              settings.factor(q)));
  };
}

void infer_unfused_attention(InferContext& context) {
  const Shape* x = input_shape(context, 0);
  const Shape* w = input_shape(context, 1);
  const std::vector<int64_t> sizes = context.node().get_ints("qkv_hidden_sizes");
  const int64_t heads = parse_attention_form(context.node()).heads;
  Dim hidden;
  if (sizes.size() == 3) {
    hidden = Dim(sizes[2]);
  } else if (w && w->size() == 2 && (*w)[1].known()) {
    hidden = Dim((*w)[1].value / 3);
  }
  std::optional<Shape> y, present;
  if (x && x->size() == 3) {
    const Shape* past = input_shape(context, 4);
    y = Shape{(*x)[0], (*x)[1], hidden};
    const Dim length = past && past->size() == 5         ? add_dims((*past)[3], (*x)[1])
                       : context.node().input(4).empty() ? (*x)[1]
                                                         : Dim();
    present = Shape{Dim(2), (*x)[0], Dim(heads), length, hidden.known() ? Dim(hidden.value / heads) : Dim()};
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
  if (context.node().outputs.size() > 1) context.output(1, Type::tensor(input_dtype(context, 0), present));
}

// Queries, keys and values as heads: apart, as heads already (keys and values), or packed [batch, sequence,
// heads, 3 or 2, size]; `bias` [hidden of all three] is added on the way, but not to what is in heads
// already.
struct HeadParts {
  at::Tensor q, k, v;
};

HeadParts multi_heads(const KernelArgs& args, int64_t heads) {
  const at::Tensor& query = args.in(0);
  const auto unpack = [&](const at::Tensor& packed, int64_t parts) {
    MC_CHECK(packed.dim() == 5 && packed.size(2) == heads && packed.size(3) == parts,
             "[{}] is not [batch, sequence, {}, {}, size]", fmt::join(packed.sizes(), ","), heads, parts);
    std::vector<at::Tensor> each;
    for (const at::Tensor& part : packed.unbind(3)) each.push_back(part.flatten(2));
    return each;
  };
  std::vector<at::Tensor> flat;
  if (query.dim() == 5) {
    flat = unpack(query, 3);
  } else {
    MC_CHECK(query.dim() == 3 && args.has(1), "the query [{}] needs keys, unless it is packed with them",
             fmt::join(query.sizes(), ","));
    flat = {query};
    if (args.in(1).dim() == 5) {
      for (const at::Tensor& part : unpack(args.in(1), 2)) flat.push_back(part);
    } else {
      MC_CHECK(args.has(2), "there are keys, not packed, and no values");
      flat.push_back(args.in(1));
      flat.push_back(args.in(2));
    }
  }
  if (args.has(3)) {
    const at::Tensor& bias = args.in(3);
    int64_t begin = 0;
    for (at::Tensor& part : flat) {
      const int64_t width = part.dim() == 3 ? part.size(2) : part.size(1) * part.size(3);
      MC_CHECK(begin + width <= bias.numel(), "the bias has {} numbers, too few", bias.numel());
      if (part.dim() == 3) part = part + bias.narrow(0, begin, width);
      begin += width;
    }
  }
  return {split_heads(flat[0], heads, "num_heads"), split_heads(flat[1], heads, "num_heads"),
          split_heads(flat[2], heads, "num_heads")};
}

// query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value.
Kernel bind_multi_head_attention(const BindContext& context) {
  return [settings = parse_attention_form(context.node)](const KernelArgs& args) {
    MC_CHECK(!args.has(8) && !args.has(9) && !args.wants(3),
             "caches that grow in place and scores as output are not supported");
    auto [q, k, v] = multi_heads(args, settings.heads);
    MC_CHECK(args.has(6) == args.has(7), "past_key and past_value go together");
    if (args.has(6)) {
      k = at::cat({args.in(6), k}, 2);
      v = at::cat({args.in(7), v}, 2);
    }
    args.out(1, k);
    args.out(2, v);
    args.out(0, attend_biased(q, k, v, score_bias(settings, q, k, args.in_or(4), args.in_or(5)),
                              settings.factor(q)));
  };
}

void infer_multi_head_attention(InferContext& context) {
  const int64_t heads = parse_attention_form(context.node()).heads;
  const auto per_head = [heads](const Dim& hidden) {
    return hidden.known() ? Dim(hidden.value / heads) : Dim();
  };
  const Shape* q = input_shape(context, 0);
  const Shape* k = input_shape(context, 1);
  const Shape* v = input_shape(context, 2);
  // Keys and values as heads, where their shapes tell.
  std::optional<Shape> key, value;
  if (q && q->size() == 5) {
    key = value = Shape{(*q)[0], Dim(heads), (*q)[1], (*q)[4]};
  } else if (k && k->size() == 5) {
    key = value = Shape{(*k)[0], Dim(heads), (*k)[1], (*k)[4]};
  } else {
    if (k && k->size() == 3) key = Shape{(*k)[0], Dim(heads), (*k)[1], per_head((*k)[2])};
    if (k && k->size() == 4) key = *k;
    if (v && v->size() == 3) value = Shape{(*v)[0], Dim(heads), (*v)[1], per_head((*v)[2])};
    if (v && v->size() == 4) value = *v;
  }
  std::optional<Shape> y;
  if (q && q->size() >= 3) {
    y = Shape{(*q)[0], (*q)[1], value ? multiply_dims(Dim(heads), (*value)[3]) : Dim()};
  }
  context.output(0, Type::tensor(input_dtype(context, 0), y));
  for (size_t i = 1; i < context.node().outputs.size() && i < 3; ++i) {
    std::optional<Shape> present = i == 1 ? key : value;
    const Shape* past = input_shape(context, i + 5);
    if (present && past && past->size() == 4) {
      (*present)[2] = add_dims((*past)[2], (*present)[2]);
    } else if (present && !context.node().input(i + 5).empty()) {
      (*present)[2] = Dim();
    }
    context.output(i, Type::tensor(input_dtype(context, 0), present));
  }
}

// input, position_ids [1] (of the first element) or [batch, sequence], cos_cache, sin_cache.
Kernel bind_position_rotary(const BindContext& context) {
  const Node& node = context.node;
  const bool interleaved = node.get_int("interleaved", 0) != 0;
  const int64_t heads = node.get_int("num_heads", 0);
  MC_CHECK(node.get_int("is_packed_batching", 0) == 0, "is_packed_batching is not supported");
  MC_CHECK(node.get_float("scale", 1) == 1, "scale is {}; only 1 is supported", node.get_float("scale", 1));
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() == 3 || x.dim() == 4, "the input has {} dims, not 3 or 4", x.dim());
    MC_CHECK(args.in(2).dim() == 2 && args.in(2).size(1) >= 1, "cos_cache [{}] is no table of angles",
             fmt::join(args.in(2).sizes(), ","));
    // Without num_heads a head is turned as a whole.
    const int64_t count = heads > 0 ? heads : x.size(-1) / (2 * args.in(2).size(1));
    const at::Tensor data = split_heads(x, count, "num_heads");
    at::Tensor position = args.in(1).to(at::kLong);
    if (position.numel() == 1) {
      position = (position.reshape({}) + at::arange(data.size(2), position.options())).unsqueeze(0);
    }
    const auto angles = [&](const at::Tensor& cache) { return at::embedding(cache, position).unsqueeze(1); };
    const at::Tensor y = turn_pairs(data, angles(args.in(2)), angles(args.in(3)), interleaved);
    args.out(0, x.dim() == 4 ? y : merge_heads(y));
  };
}

double projected_attention_macs(const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs) {
  if (inputs.size() < 2 || inputs[0].size() != 3 || inputs[1].size() != 2) return 0;
  const double rows = element_count({inputs[0][0], inputs[0][1]});
  // The projections; then each query meets each key, and each value.
  return rows * element_count(inputs[1]) + element_count(outputs[0]) * element_count({inputs[0][1]}) * 2;
}

}  // namespace

std::vector<Op> contrib_attention_ops() {
  const Role constant = Role::kConstant, weight = Role::kWeight;
  Op attention = microsoft_op("Attention", bind_unfused_attention, infer_unfused_attention,
                              {constant, weight, weight, constant});
  attention.macs = projected_attention_macs;
  return {
      attention,
      microsoft_op("MultiHeadAttention", bind_multi_head_attention, infer_multi_head_attention,
                   {constant, constant, constant, weight, constant}),
      microsoft_op("RotaryEmbedding", bind_position_rotary, infer_same_as_input),
  };
}

}  // namespace mc
