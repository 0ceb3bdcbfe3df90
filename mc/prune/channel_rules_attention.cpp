// Fused attention: whole heads go. A head of keys and values takes the heads of queries that share it along
// (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).
#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

struct HeadCounts {
  const char* queries;
  const char* keys;
};

constexpr HeadCounts kOnnxHeads = {"q_num_heads", "kv_num_heads"};
constexpr HeadCounts kSharedHeads = {"num_heads", "num_heads"};
constexpr HeadCounts kGroupedHeads = {"num_heads", "kv_num_heads"};

// [batch, sequence, heads * size] (run: the size), or [batch, heads, sequence, size] (run 1).
struct Heads {
  AxisId axis = kNoAxis;
  int64_t count = 0, run = 0;
};

Heads heads_of(const ChannelValue* value, int64_t count) {
  if (!value) return {};
  if (value->rank() == 4) return {Ports::axis(value, 1), Ports::dim(value, 1), 1};
  if (value->rank() != 3 || count < 1 || value->dims[2] < 1 || value->dims[2] % count != 0) return {};
  return {Ports::axis(value, 2), count, value->dims[2] / count};
}

// Heads of b are those of a, which may be fewer.
void join_heads(Ports& node, const Heads& a, const Heads& b) {
  if (a.count < 1 || b.count < 1 || b.count % a.count != 0) return;
  const int64_t shared = b.count / a.count;
  node.link(a.axis, b.axis, [=](int64_t j) { return j / b.run / shared * a.run; });
}

void join_attention(Ports& node, const HeadCounts& names, size_t first_cache) {
  const ChannelValue *q = node.in(0), *k = node.in(1), *v = node.in(2);
  if (!q || !k || !v || !node.out(0)) return;
  const Heads queries = heads_of(q, node.node().get_int(names.queries, 0));
  const Heads keys = heads_of(k, node.node().get_int(names.keys, 0));
  const Heads values = heads_of(v, node.node().get_int(names.keys, 0));
  const Heads made = heads_of(node.out(0), node.node().get_int(names.queries, 0));
  const bool fits = queries.count > 0 && keys.count > 0 && values.count == keys.count &&
                    made.count == queries.count && queries.count % keys.count == 0;
  if (!fits) return;
  join_heads(node, keys, keys);  // the elements of a head
  join_heads(node, keys, values);
  join_heads(node, keys, queries);
  join_heads(node, keys, made);
  for (size_t i = first_cache; i < first_cache + 2; ++i) join_heads(node, keys, heads_of(node.in(i), 0));
  for (size_t i = 1; i < 3; ++i) join_heads(node, keys, heads_of(node.out(i), 0));
}

// A mask of its own for each head would have to be cut too: it is needed whole, and its heads with it.
bool has_head_mask(Ports& node, size_t input) {
  const ChannelValue* mask = node.in(input);
  return mask && mask->rank() >= 3 && Ports::dim(mask, -3) != 1 && mask->rank() == 4;
}

void join_onnx_attention(Ports& node) {
  if (!has_head_mask(node, 3) && !node.out(3)) join_attention(node, kOnnxHeads, 4);
}

void join_multi_head(Ports& node) {
  // A bias of queries, keys and values side by side (input 3), and packed inputs, are needed whole.
  if (!node.given(3) && !has_head_mask(node, 5)) join_attention(node, kSharedHeads, 6);
}

void join_group_query(Ports& node) {
  if (node.given(1) && node.given(2)) join_attention(node, kGroupedHeads, 3);
}

void cut_heads(CutNode& node, const HeadCounts& names) {
  for (const auto& [input, name] : {std::pair<size_t, const char*>{0, names.queries}, {1, names.keys}}) {
    const ChannelValue* value = node.in(input);
    if (!value || value->rank() != 3 || !node.changed(value, 2)) continue;
    const int64_t heads = node.node().get_int(name, 0);
    if (heads < 1 || (input == 1 && std::string_view(names.queries) == names.keys)) continue;
    node.node().set({name, node.size(value, 2) / (value->dims[2] / heads)});
  }
}

void cut_onnx_attention(CutNode& node) {
  cut_heads(node, kOnnxHeads);
}
void cut_multi_head(CutNode& node) {
  cut_heads(node, kSharedHeads);
}
void cut_group_query(CutNode& node) {
  cut_heads(node, kGroupedHeads);
}

// [batch, heads, sequence, size], or with num_heads [batch, sequence, hidden].
void join_rotary(Ports& node) {
  const int64_t heads = node.node().get_int("num_heads", 0);
  const Heads x = heads_of(node.in(0), heads), y = heads_of(node.out(0), heads);
  join_heads(node, x, x);
  join_heads(node, x, y);
}

void cut_rotary(CutNode& node) {
  const ChannelValue* x = node.in(0);
  const int64_t heads = node.node().get_int("num_heads", 0);
  if (!x || x->rank() != 3 || heads < 1 || !node.changed(x, 2)) return;
  node.node().set({"num_heads", node.size(x, 2) / (x->dims[2] / heads)});
}

}  // namespace

std::vector<ChannelRule> attention_channel_rules() {
  return {{"Attention", join_onnx_attention, cut_onnx_attention},
          {"RotaryEmbedding", join_rotary, cut_rotary},
          {"RotaryEmbedding", join_rotary, cut_rotary, "com.microsoft"},
          {"MultiHeadAttention", join_multi_head, cut_multi_head, "com.microsoft"},
          {"GroupQueryAttention", join_group_query, cut_group_query, "com.microsoft"}};
}

}  // namespace mc
