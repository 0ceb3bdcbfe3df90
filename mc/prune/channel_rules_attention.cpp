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

// Whether its heads can be told.
bool join_attention(Ports& node, const HeadCounts& names, size_t first_cache) {
  const ChannelValue *q = node.in(0), *k = node.in(1), *v = node.in(2);
  if (!q || !k || !v || !node.out(0)) return false;
  const Heads queries = heads_of(q, node.node().get_int(names.queries, 0));
  const Heads keys = heads_of(k, node.node().get_int(names.keys, 0));
  const Heads values = heads_of(v, node.node().get_int(names.keys, 0));
  const Heads made = heads_of(node.out(0), node.node().get_int(names.queries, 0));
  const bool fits = queries.count > 0 && keys.count > 0 && values.count == keys.count &&
                    made.count == queries.count && queries.count % keys.count == 0;
  if (!fits) return false;
  join_heads(node, keys, keys);  // the elements of a head
  join_heads(node, keys, values);
  join_heads(node, keys, queries);
  join_heads(node, keys, made);
  for (size_t i = first_cache; i < first_cache + 2; ++i) join_heads(node, keys, heads_of(node.in(i), 0));
  for (size_t i = 1; i < 3; ++i) join_heads(node, keys, heads_of(node.out(i), 0));
  return true;
}

// A mask of its own for each head would have to be cut too: it is needed whole, and its heads with it.
bool has_head_mask(Ports& node, size_t input) {
  const ChannelValue* mask = node.in(input);
  return mask && mask->rank() == 4 && mask->dims[1] != 1;
}

void join_onnx_attention(Ports& node) {
  if (!has_head_mask(node, 3) && !node.out(3)) join_attention(node, kOnnxHeads, 4);
}

// A bias of queries, keys and values lies side by side.
void join_multi_head(Ports& node) {
  if (has_head_mask(node, 5) || !join_attention(node, kSharedHeads, 6)) return;
  const ChannelValue *bias = node.in(3), *keys = node.in(1);
  const int64_t heads = node.node().get_int(kSharedHeads.queries, 0), columns = Ports::dim(keys, 2);
  const int64_t values = Ports::dim(node.in(2), 2);
  if (!bias || keys->rank() != 3 || node.in(2)->rank() != 3 || Ports::dim(bias, 0) != 2 * columns + values)
    return;
  const int64_t run = columns / heads, value_run = values / heads;
  node.link(Ports::axis(keys, 2), Ports::axis(bias, 0), [=](int64_t j) {
    const int64_t head = j < 2 * columns ? j % columns / run : (j - 2 * columns) / value_run;
    return head * run;
  });
  node.use(3, 0, kMaskable);
}

// Queries of all heads, then keys, then values in one input [batch, sequence, columns].
struct PackedHeads {
  int64_t queries, keys, size;
  int64_t shared() const { return queries / keys; }
  int64_t key_of(int64_t head) const {  // the first column of the keys that a head goes with
    const int64_t key = head < queries ? head / shared() : (head - queries) % keys;
    return (queries + key) * size;
  }
};

std::optional<PackedHeads> packed_heads(const Node& node, const ChannelValue* packed) {
  const int64_t queries = node.get_int("num_heads", 0), keys = node.get_int("kv_num_heads", 0);
  const bool counted =
      queries > 0 && keys > 0 && queries <= AxisClasses::kLongest && keys <= queries && queries % keys == 0;
  if (!packed || packed->rank() != 3 || !counted) return std::nullopt;
  const int64_t heads = queries + 2 * keys;
  if (packed->dims[2] < heads || packed->dims[2] % heads != 0) return std::nullopt;
  return PackedHeads{queries, keys, packed->dims[2] / heads};
}

void join_packed_query(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  const auto heads = packed_heads(node.node(), x);
  if (!heads || Ports::dim(y, 2) != heads->queries * heads->size) return;
  const AxisId columns = Ports::axis(x, 2);
  const auto from_head = [&](int64_t run) {
    return [=, &heads](int64_t j) { return heads->key_of(j / run); };
  };
  node.link(columns, columns, from_head(heads->size));
  node.link(columns, Ports::axis(y, 2), from_head(heads->size));
  for (int64_t k = 0; k < 2; ++k) node.same(Ports::axis(x, k), Ports::axis(y, k));
  for (const ChannelValue* cache : {node.in(3), node.in(4), node.out(1), node.out(2)}) {
    if (cache && cache->rank() == 4) {
      node.link(columns, Ports::axis(cache, 1),
                [&](int64_t key) { return heads->key_of(heads->queries + key); });
    }
  }
}

// Scores to add and sinks by head are needed whole.
void join_group_query(Ports& node) {
  if (has_head_mask(node, 10) || node.given(11)) return;
  if (node.given(1) && node.given(2)) {
    join_attention(node, kGroupedHeads, 3);
  } else if (!node.given(1) && !node.given(2)) {
    join_packed_query(node);
  }
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
  if (node.in(1)) return cut_heads(node, kGroupedHeads);
  const ChannelValue* y = node.out(0);
  const auto heads = packed_heads(node.node(), node.in(0));
  if (!heads || !node.changed(y, 2)) return;
  const int64_t queries = node.size(y, 2) / heads->size;
  node.node().set({"num_heads", queries});
  node.node().set({"kv_num_heads", queries / heads->shared()});
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
