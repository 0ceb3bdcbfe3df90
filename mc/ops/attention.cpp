// Attention and rotary position embedding.
#include "mc/ops/attention.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"

namespace mc {
namespace {

struct Attention {
  int64_t query_heads = 0;  // of inputs [batch, sequence, hidden]
  int64_t key_heads = 0;
  std::optional<double> scale;
  double softcap = 0;
  bool causal = false;
  int64_t left = -1, right = -1;  // keys this far before and behind a query count; -1: all
  int64_t scores_stage = 0;       // which scores output 3 shows
  std::optional<at::ScalarType> softmax_type;
};

Attention parse_attention(const Node& node) {
  Attention attention;
  attention.query_heads = node.get_int("q_num_heads", 0);
  attention.key_heads = node.get_int("kv_num_heads", 0);
  if (node.find("scale")) attention.scale = node.get_float("scale", 1);
  attention.softcap = node.get_float("softcap", 0);
  attention.causal = node.get_int("is_causal", 0) != 0;
  attention.left = node.get_int("left_window_size", -1);
  attention.right = node.get_int("right_window_size", -1);
  attention.scores_stage = node.get_int("qk_matmul_output_mode", 0);
  if (node.find("softmax_precision")) {
    attention.softmax_type = to_scalar_type(static_cast<DType>(node.get_int("softmax_precision", 1)));
  }
  return attention;
}

// Which keys a query may see by its position: causality, a sliding window, the number of valid keys of
// each sample. Undefined when it may see all.
at::Tensor visible_keys(const Attention& attention, int64_t queries, int64_t keys, int64_t past,
                        const at::Tensor& valid, const at::Device& device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor key = at::arange(keys, options);
  at::Tensor position = at::arange(queries, options).unsqueeze(1) + past;
  if (valid.defined()) position = position + (valid.view({-1, 1, 1, 1}) - queries);
  at::Tensor visible;
  auto restrict = [&visible](const at::Tensor& more) { visible = visible.defined() ? visible & more : more; };
  if (attention.causal) restrict(key <= position);
  if (attention.left >= 0) restrict(position - key <= attention.left);
  if (attention.right >= 0) restrict(key - position <= attention.right);
  if (valid.defined()) restrict(key < valid.view({-1, 1, 1, 1}));
  return visible;
}

// The file's mask (boolean, or numbers to add) with its missing keys masked, restricted to visible ones.
at::Tensor combine_mask(at::Tensor mask, const at::Tensor& visible, int64_t keys, at::ScalarType type) {
  const double hidden = -std::numeric_limits<double>::infinity();
  if (!mask.defined()) return visible;
  const bool boolean = mask.scalar_type() == at::kBool;
  if (mask.size(-1) < keys) {
    mask = at::constant_pad_nd(mask, {0, keys - mask.size(-1)},
                               boolean ? at::Scalar(false) : at::Scalar(hidden));
  }
  if (boolean) return visible.defined() ? mask & visible : mask;
  mask = mask.to(type);
  return visible.defined() ? at::where(visible, mask, at::scalar_tensor(hidden, mask.options())) : mask;
}

// Step by step, for what the fused function does not do: capped scores, another precision, scores as output.
at::Tensor explicit_attention(const Attention& attention, const at::Tensor& q, const at::Tensor& k,
                              const at::Tensor& v, const at::Tensor& mask, double scale,
                              const KernelArgs& args) {
  const double root = std::sqrt(scale);
  at::Tensor scores = at::matmul(q * root, (k * root).transpose(-2, -1));
  if (attention.scores_stage == 0) args.out(3, scores);
  if (attention.softcap > 0) scores = at::tanh(scores / attention.softcap) * attention.softcap;
  if (attention.scores_stage == 1) args.out(3, scores);
  if (mask.defined()) {
    scores = mask.scalar_type() == at::kBool
                 ? scores.masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity())
                 : scores + mask;
  }
  if (attention.scores_stage == 2) args.out(3, scores);
  const at::Tensor weights = masked_softmax(scores, attention.softmax_type);
  if (attention.scores_stage == 3) args.out(3, weights);
  return at::matmul(weights, v);
}

Kernel bind_attention(const BindContext& context) {
  return [attention = parse_attention(context.node)](const KernelArgs& args) {
    const bool flat = args.in(0).dim() == 3;
    const at::Tensor q = split_heads(args.in(0), attention.query_heads, "q_num_heads");
    at::Tensor k = split_heads(args.in(1), attention.key_heads, "kv_num_heads");
    at::Tensor v = split_heads(args.in(2), attention.key_heads, "kv_num_heads");
    const int64_t past = args.has(4) ? args.in(4).size(2) : 0;
    if (args.has(4)) k = at::cat({args.in(4), k}, 2);
    if (args.has(5)) v = at::cat({args.in(5), v}, 2);
    args.out(1, k);
    args.out(2, v);
    k = repeat_heads(k, q.size(1));
    v = repeat_heads(v, q.size(1));
    const double scale = attention.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
    const bool fused = attention.softcap == 0 && !attention.softmax_type && !args.wants(3);
    const bool only_causal = attention.causal && attention.left < 0 && attention.right < 0 && past == 0 &&
                             !args.has(3) && !args.has(6);
    at::Tensor y;
    if (fused && only_causal) {
      y = at::scaled_dot_product_attention(q, k, v, {}, 0, /*is_causal=*/true, scale);
    } else {
      const at::Tensor visible =
          visible_keys(attention, q.size(2), k.size(2), past, args.in_or(6), q.device());
      const at::Tensor mask = combine_mask(args.in_or(3), visible, k.size(2), q.scalar_type());
      const std::optional<at::Tensor> optional =
          mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
      y = fused ? at::scaled_dot_product_attention(q, k, v, optional, 0, false, scale)
                : explicit_attention(attention, q, k, v, mask, scale, args);
    }
    args.out(0, flat ? merge_heads(y) : y);
  };
}

// A shape [batch, heads, sequence, size] from one of 3 or 4 dims.
std::optional<Shape> head_shape(const Shape* x, int64_t heads) {
  if (!x || (x->size() != 4 && x->size() != 3)) return std::nullopt;
  if (x->size() == 4) return *x;
  const Dim& hidden = (*x)[2];
  return Shape{(*x)[0], Dim(heads), (*x)[1], hidden.known() && heads > 0 ? Dim(hidden.value / heads) : Dim()};
}

void infer_attention(InferContext& context) {
  const Attention attention = parse_attention(context.node());
  const auto q = head_shape(input_shape(context, 0), attention.query_heads);
  auto k = head_shape(input_shape(context, 1), attention.key_heads);
  auto v = head_shape(input_shape(context, 2), attention.key_heads);
  for (const auto& [present, past] :
       {std::pair{&k, input_shape(context, 4)}, std::pair{&v, input_shape(context, 5)}}) {
    if (*present && past && past->size() == 4) (**present)[2] = add_dims((*past)[2], (**present)[2]);
  }
  std::optional<Shape> y, scores;
  if (q && v) {
    const bool flat = input_shape(context, 0)->size() == 3;
    y = flat ? Shape{(*q)[0], (*q)[2], multiply_dims((*q)[1], (*v)[3])}
             : Shape{(*q)[0], (*q)[1], (*q)[2], (*v)[3]};
  }
  if (q && k) scores = Shape{(*q)[0], (*q)[1], (*q)[2], (*k)[2]};
  const std::optional<Shape> shapes[] = {y, k, v, scores};
  const size_t source[] = {0, 1, 2, 0};
  for (size_t i = 0; i < context.node().outputs.size() && i < 4; ++i) {
    context.output(i, Type::tensor(input_dtype(context, source[i]), shapes[i]));
  }
}

// Scores and their sums: each query meets each key twice.
double attention_macs(const Node& node, std::span<const Shape> inputs, std::span<const Shape>) {
  const Attention attention = parse_attention(node);
  const auto q = head_shape(&inputs[0], attention.query_heads);
  const auto v = inputs.size() > 2 ? head_shape(&inputs[2], attention.key_heads) : std::nullopt;
  if (!q || !v || !(*q)[3].known() || !(*v)[3].known()) return 0;
  const double scores = element_count({(*q)[0], (*q)[1], (*q)[2], (*v)[2]});
  return scores * static_cast<double>((*q)[3].value + (*v)[3].value);
}

// Su et al., "RoFormer" (2021), section 3.2: pairs of elements turn by an angle of their position.
Kernel bind_rotary(const BindContext& context) {
  const Node& node = context.node;
  const bool interleaved = node.get_int("interleaved", 0) != 0;
  const int64_t rotated_size = node.get_int("rotary_embedding_dim", 0), heads = node.get_int("num_heads", 0);
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() == 3 || x.dim() == 4, "the input has {} dims; 3 or 4 are supported", x.dim());
    const at::Tensor data = split_heads(x, heads, "num_heads");  // [batch, heads, sequence, size]
    const int64_t size = rotated_size ? rotated_size : data.size(3);
    MC_CHECK(size % 2 == 0 && size <= data.size(3), "{} elements of a head of {} cannot be turned in pairs",
             size, data.size(3));
    auto angles = [&](const at::Tensor& cache) {  // [batch, 1, sequence, size / 2]
      const at::Tensor chosen = args.has(3) ? at::embedding(cache, args.in(3)) : cache;
      MC_CHECK(chosen.size(-1) == size / 2, "the cache has {} columns; {} are needed", chosen.size(-1),
               size / 2);
      return chosen.unsqueeze(1);
    };
    const at::Tensor y = turn_pairs(data, angles(args.in(1)), angles(args.in(2)), interleaved);
    args.out(0, x.dim() == 4 ? y : merge_heads(y));
  };
}

}  // namespace

at::Tensor split_heads(const at::Tensor& x, int64_t heads, const char* attribute) {
  if (x.dim() == 4) return x;
  MC_CHECK(x.dim() == 3, "queries, keys and values have 3 or 4 dims, not {}", x.dim());
  MC_CHECK(heads >= 1 && x.size(2) % heads == 0, "{} is {}; it must divide the hidden size {}", attribute,
           heads, x.size(2));
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

at::Tensor merge_heads(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

at::Tensor repeat_heads(const at::Tensor& x, int64_t heads) {
  if (x.size(1) == heads) return x;
  MC_CHECK(x.size(1) >= 1 && heads % x.size(1) == 0, "{} query heads cannot share {} key heads", heads,
           x.size(1));
  return x.repeat_interleave(heads / x.size(1), 1, heads);
}

at::Tensor masked_softmax(const at::Tensor& scores, std::optional<at::ScalarType> type) {
  const at::Tensor blind = (scores == -std::numeric_limits<double>::infinity()).all(-1, /*keepdim=*/true);
  return at::softmax(type ? scores.to(*type) : scores, -1).masked_fill(blind, 0).to(scores.scalar_type());
}

at::Tensor turn_pairs(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine,
                      bool interleaved) {
  const int64_t size = 2 * cosine.size(-1);
  MC_CHECK(size <= x.size(3) && sine.sizes() == cosine.sizes(),
           "{} elements of a head of {} cannot be turned in pairs", size, x.size(3));
  const at::Tensor turned = x.narrow(3, 0, size);
  const at::Tensor a = interleaved ? turned.slice(3, 0, size, 2) : turned.narrow(3, 0, size / 2);
  const at::Tensor b = interleaved ? turned.slice(3, 1, size, 2) : turned.narrow(3, size / 2, size / 2);
  const at::Tensor real = cosine * a - sine * b, imaginary = sine * a + cosine * b;
  const at::Tensor y =
      interleaved ? at::stack({real, imaginary}, -1).flatten(3) : at::cat({real, imaginary}, 3);
  return size < x.size(3) ? at::cat({y, x.narrow(3, size, x.size(3) - size)}, 3) : y;
}

std::vector<Op> attention_ops() {
  return {
      {.name = "Attention",
       .since = 23,
       .bind = bind_attention,
       .infer = infer_attention,
       .macs = attention_macs},
      {.name = "RotaryEmbedding", .since = 23, .bind = bind_rotary, .infer = infer_same_as_input},
  };
}

}  // namespace mc
