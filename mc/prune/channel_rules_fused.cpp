// Operators of com.microsoft that stand for several of ONNX's: as engines and exporters of transformers
// write them.
#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

constexpr int kMade = kProduces | kMaskable;

// One matrix and bias makes queries, keys and values side by side.
struct PackedAttention {
  int64_t heads = 0;
  int64_t key = 0, value = 0;  // columns of all heads' keys (as many as of queries) and values

  int64_t value_run() const { return value / heads; }
  // The column of the values of the same head, counted from the first column of values.
  int64_t source(int64_t column) const {
    return column < 2 * key ? column % key / (key / heads) * value_run()
                            : (column - 2 * key) / value_run() * value_run();
  }
};

std::optional<PackedAttention> packed_attention(const Node& node, const ChannelValue* weight) {
  if (!weight || weight->rank() != 2) return std::nullopt;
  PackedAttention packed{node.get_int("num_heads", 0)};
  const std::vector<int64_t> sizes = node.get_ints("qkv_hidden_sizes");
  const int64_t columns = weight->dims[1];
  if (!sizes.empty() && (sizes.size() != 3 || sizes[0] != sizes[1])) return std::nullopt;
  packed.key = sizes.empty() ? columns / 3 : sizes[1];
  packed.value = sizes.empty() ? columns / 3 : sizes[2];
  const bool fits = packed.heads > 0 && packed.key > 0 && packed.value > 0 && columns > 0 &&
                    packed.key <= columns && packed.value <= columns &&
                    2 * packed.key + packed.value == columns && packed.key % packed.heads == 0 &&
                    packed.value % packed.heads == 0;
  return fits ? std::optional(packed) : std::nullopt;
}

// input, weight, bias, mask, past [2, batch, heads, sequence, size], scores to add.
void join_packed_attention(Ports& node) {
  const ChannelValue *x = node.in(0), *w = node.in(1), *y = node.out(0);
  const auto packed = packed_attention(node.node(), w);
  const bool mask_by_head = node.given(5) && Ports::dim(node.in(5), 1) != 1;
  if (!packed || !x || !y || x->rank() != 3 || y->rank() != 3 || Ports::dim(y, 2) != packed->value) return;
  if (mask_by_head) return;
  for (int64_t k = 0; k < 2; ++k) node.same(Ports::axis(x, k), Ports::axis(y, k));
  node.same(Ports::axis(x, 2), Ports::axis(w, 0));
  node.use(1, 0, kConsumes | kMaskable);
  const AxisId made = Ports::axis(y, 2);
  const int64_t run = packed->value_run();
  node.link(made, made, [run](int64_t j) { return j / run * run; });
  for (const auto& [input, axis, uses] : {std::tuple<size_t, int64_t, int>{1, 1, kMade}, {2, 0, kMaskable}}) {
    if (!node.in(input)) continue;
    node.link(made, Ports::axis(node.in(input), axis), [&](int64_t j) { return packed->source(j); });
    node.use(input, axis, uses);
  }
  for (const ChannelValue* cache : {node.in(4), node.out(1)}) {
    if (cache && cache->rank() == 5)
      node.link(made, Ports::axis(cache, 2), [run](int64_t head) { return head * run; });
  }
}

void cut_packed_attention(CutNode& node) {
  const ChannelValue* y = node.out(0);
  const auto packed = packed_attention(node.node(), node.in(1));
  if (!packed || !node.changed(y, 2)) return;
  const int64_t heads = node.size(y, 2) / packed->value_run();
  node.node().set({"num_heads", heads});
  if (!node.node().find("qkv_hidden_sizes")) return;
  const int64_t key = packed->key / packed->heads * heads;
  node.node().set({"qkv_hidden_sizes", std::vector<int64_t>{key, key, node.size(y, 2)}});
}

// ids, segments, tables of words, places and segments, scale, shift; outputs 0 and 2 have the columns.
void join_embed_norm(Ports& node) {
  const AxisId columns = Ports::axis(node.in(2), 1);
  for (size_t i = 2; i <= 4; ++i) {
    node.same(columns, Ports::axis(node.in(i), 1));
    node.use(i, 1, kMade);
  }
  for (size_t i = 5; i <= 6; ++i) {
    node.same(columns, Ports::axis(node.in(i), 0));
    node.use(i, 0, kMaskable);
  }
  for (const size_t i : {size_t{0}, size_t{2}}) {
    const ChannelValue* y = node.out(i);
    node.same(columns, Ports::axis(y, 2));
    for (int64_t k = 0; k < 2; ++k) node.same(Ports::axis(node.in(0), k), Ports::axis(y, k));
  }
  node.inexact(columns);
}

// An activation function of x plus a bias.
void join_biased(Ports& node) {
  node.same_axes(node.in(0), node.out(0));
  node.broadcast(node.in(1), node.out(0));
  for (int64_t k = 0; node.in(1) && k < node.in(1)->rank(); ++k) node.use(1, k, kMaskable);
}

}  // namespace

std::vector<ChannelRule> fused_channel_rules() {
  return {{"Attention", join_packed_attention, cut_packed_attention, "com.microsoft"},
          {"EmbedLayerNormalization", join_embed_norm, nullptr, "com.microsoft"},
          {"BiasGelu", join_biased, nullptr, "com.microsoft"},
          {"FastGelu", join_biased, nullptr, "com.microsoft"}};
}

}  // namespace mc
