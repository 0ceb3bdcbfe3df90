// One graph an operator: which channels its rule couples, and that cutting them gives the masked model.
#include <algorithm>

#include "tests/prune/prune_testing.h"

namespace mc {
namespace {

using testing::Dims;
using ::testing::ElementsAre;
using testing::expect_consistent;
using testing::find_group;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::members_of;
using testing::random_model;
using Weights = std::vector<std::pair<std::string, Dims>>;

std::string graph(const std::string& signature, const std::string& body, int opset = 18) {
  return fmt::format("<ir_version: 8, opset_import: [\"\" : {}]>\nnet {} {{\n{}\n}}", opset, signature, body);
}

at::Tensor image(Dims dims) {
  at::manual_seed(11);
  return at::randn(dims);
}

// The members of the only group that can be cut.
std::vector<std::string> only_group(const Model& model) {
  std::vector<ChannelGroup> groups = channel_groups(model);
  std::erase_if(groups, [](const ChannelGroup& group) { return !group.obstacle.empty(); });
  EXPECT_EQ(groups.size(), 1u);
  return groups.size() == 1 ? members_of(groups[0]) : std::vector<std::string>();
}

TEST(ChannelRules, ConvolutionWithBatchNorm) {
  const Model model = random_model(graph("(float[N,3,6,6] x) => (float[N,2,6,6] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w1, b1)
  n = BatchNormalization (a, scale, shift, mean, var)
  r = Relu (n)
  y = Conv <kernel_shape = [1,1]> (r, w2))"),
                                   Weights{{"w1", {5, 3, 1, 1}},
                                           {"b1", {5}},
                                           {"scale", {5}},
                                           {"shift", {5}},
                                           {"mean", {5}},
                                           {"var", {5}},
                                           {"w2", {2, 5, 1, 1}}});
  EXPECT_THAT(only_group(model),
              ElementsAre("w1:0*1", "b1:0*1", "scale:0*1", "shift:0*1", "mean:0*1", "var:0*1", "w2:1*1"));
  const ChannelGroup group = channel_groups(model)[0];
  EXPECT_EQ(group.name, "w1");
  EXPECT_EQ(group.channels, 5);
  EXPECT_TRUE(group.exact);
  EXPECT_THAT(group.producers, ElementsAre(0));
  EXPECT_TRUE(group.members[2].maskable);
  EXPECT_FALSE(group.members[5].maskable) << "a variance of zero would divide";
  EXPECT_TRUE(group.members[6].consumes);
  expect_consistent(model, {image({2, 3, 6, 6})});
}

TEST(ChannelRules, ResidualSumJoins) {
  const Model model =
      random_model(graph("(float[N,3,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, stem)
  b = Conv <kernel_shape = [1,1]> (a, branch)
  s = Add (a, b)
  y = Conv <kernel_shape = [1,1]> (s, head))"),
                   Weights{{"stem", {4, 3, 1, 1}}, {"branch", {4, 4, 1, 1}}, {"head", {2, 4, 1, 1}}});
  EXPECT_THAT(only_group(model), ElementsAre("stem:0*1", "branch:0*1", "branch:1*1", "head:1*1"));
  expect_consistent(model, {image({1, 3, 4, 4})});
}

TEST(ChannelRules, FlattenMakesRunsOfColumns) {
  const Model model = random_model(graph("(float[N,1,4,4] x) => (float[N,3] y)", R"(
  a = Conv <kernel_shape = [3,3]> (x, w)
  f = Flatten (a)
  y = Gemm <transB = 1> (f, fc, bias))"),
                                   Weights{{"w", {5, 1, 3, 3}}, {"fc", {3, 20}}, {"bias", {3}}});
  EXPECT_THAT(only_group(model), ElementsAre("w:0*1", "fc:1*4"));
  const ChannelGroup group = channel_groups(model)[0];
  EXPECT_THAT(group.members[1].positions[2], ElementsAre(8, 9, 10, 11));
  expect_consistent(model, {image({2, 1, 4, 4})});
}

TEST(ChannelRules, DepthwiseGroupedAndTransposedConvolution) {
  const Model model = random_model(graph("(float[N,2,4,4] x) => (float[N,2,8,8] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  d = Conv <kernel_shape = [3,3], pads = [1,1,1,1], group = 8> (a, depthwise)
  g = Conv <kernel_shape = [1,1], group = 4> (d, grouped, bias)
  t = ConvTranspose <kernel_shape = [2,2], strides = [2,2], group = 4> (g, up)
  y = ConvTranspose <kernel_shape = [1,1]> (t, last))"),
                                   Weights{{"w", {8, 2, 1, 1}},
                                           {"depthwise", {8, 1, 3, 3}},
                                           {"grouped", {12, 2, 1, 1}},
                                           {"bias", {12}},
                                           {"up", {12, 2, 2, 2}},
                                           {"last", {8, 2, 1, 1}}});
  EXPECT_THAT(only_group(model),
              ElementsAre("w:0*2", "depthwise:0*2", "grouped:0*3", "bias:0*3", "up:0*3", "last:0*2"))
      << "whole groups";
  const Model cut = cut_channels(model, {{"w", {1, 2}}});
  EXPECT_EQ(cut.graph.nodes[1].get_int("group", 1), 4);
  EXPECT_EQ(cut.graph.nodes[2].get_int("group", 1), 2);
  EXPECT_EQ(cut.graph.nodes[3].get_int("group", 1), 2);
  expect_consistent(model, {image({1, 2, 4, 4})});
}

TEST(ChannelRules, GroupsWhoseInputsAreFixedLoseTheSameChannelEach) {
  const Model model = random_model(graph("(float[N,4,4,4] x) => (float[N,2,4,4] y)", R"(
  g = Conv <kernel_shape = [1,1], group = 2> (x, grouped)
  y = Conv <kernel_shape = [1,1]> (g, last))"),
                                   Weights{{"grouped", {6, 2, 1, 1}}, {"last", {2, 6, 1, 1}}});
  EXPECT_THAT(only_group(model), ElementsAre("grouped:0*2", "last:1*2"));
  const ChannelGroup group = channel_groups(model)[0];
  EXPECT_THAT(group.members[0].positions[1], ElementsAre(1, 4));
  expect_consistent(model, {image({1, 4, 4, 4})});
}

TEST(ChannelRules, ConcatSplitAndSliceShift) {
  const Model model = random_model(graph("(float[N,2,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, wa)
  b = Conv <kernel_shape = [1,1]> (x, wb)
  c = Concat <axis = 1> (a, b)
  from = Constant <value = int64[1] {2}> ()
  to = Constant <value = int64[1] {7}> ()
  axes = Constant <value = int64[1] {1}> ()
  part = Slice (c, from, to, axes)
  p, q = Split <axis = 1, num_outputs = 2> (c)
  s = Conv <kernel_shape = [1,1]> (part, ws)
  u = Conv <kernel_shape = [1,1]> (p, wp)
  v = Conv <kernel_shape = [1,1]> (q, wq)
  y = Sum (s, u, v))"),
                                   Weights{{"wa", {4, 2, 1, 1}},
                                           {"wb", {6, 2, 1, 1}},
                                           {"ws", {2, 5, 1, 1}},
                                           {"wp", {2, 5, 1, 1}},
                                           {"wq", {2, 5, 1, 1}}});
  const std::vector<ChannelGroup> groups = channel_groups(model);
  // Channels 0-1 of the concatenation go to p; 2-3 (of a) and 4 (of b) to the slice and p; 5-6 to the slice
  // and q; 7-9 to q.
  std::vector<std::pair<std::string, int64_t>> sizes;
  for (const ChannelGroup& group : groups) {
    if (group.obstacle.empty()) sizes.emplace_back(group.name, group.channels);
  }
  EXPECT_THAT(sizes,
              ElementsAre(std::pair("wa", 2), std::pair("wa#2", 2), std::pair("wb", 2), std::pair("wb#2", 3)))
      << "one channel alone cannot go";
  const Model cut = cut_channels(model, {{"wa#2", {0}}, {"wb#2", {1, 2}}});
  const Node* split = nullptr;
  for (const Node& node : cut.graph.nodes) {
    if (node.op_type == "Split") split = &node;
  }
  ASSERT_NE(split, nullptr);
  EXPECT_THAT(cut.graph.initializer(split->input(1))->tensor.as_ints(), ElementsAre(4, 3));
  expect_consistent(model, {image({1, 2, 4, 4})}, 40);
}

TEST(ChannelRules, SqueezeAndExcite) {
  const Model model = random_model(
      graph("(float[N,2,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  p = GlobalAveragePool (a)
  r = Conv <kernel_shape = [1,1]> (p, reduce)
  h = Relu (r)
  e = Conv <kernel_shape = [1,1]> (h, expand)
  g = Sigmoid (e)
  m = Mul (a, g)
  y = Conv <kernel_shape = [1,1]> (m, last))"),
      Weights{
          {"w", {6, 2, 1, 1}}, {"reduce", {3, 6, 1, 1}}, {"expand", {6, 3, 1, 1}}, {"last", {2, 6, 1, 1}}});
  const std::vector<ChannelGroup> groups = channel_groups(model);
  EXPECT_THAT(members_of(*find_group(groups, "w")),
              ElementsAre("w:0*1", "reduce:1*1", "expand:0*1", "last:1*1"));
  EXPECT_THAT(members_of(*find_group(groups, "reduce")), ElementsAre("reduce:0*1", "expand:1*1"));
  expect_consistent(model, {image({2, 2, 4, 4})});
}

// [batch, 3, 8] -> heads of 2; keys and values have `kv` heads, queries 4.
Model attention_model(int64_t kv) {
  const std::string repeat = fmt::format(R"(
  k5 = Unsqueeze (kt, two)
  v5 = Unsqueeze (vt, two)
  k6 = Expand (k5, many)
  v6 = Expand (v5, many)
  kr = Reshape (k6, joined)
  vr = Reshape (v6, joined))");
  Model model = random_model(
      graph("(float[N,3,8] x) => (float[N,3,8] y)", R"(
  q = MatMul (x, wq)
  qb = Add (q, bq)
  k = MatMul (x, wk)
  v = MatMul (x, wv)
  qh = Reshape (qb, by_head)
  kh = Reshape (k, by_kv)
  vh = Reshape (v, by_kv)
  qt = Transpose <perm = [0,2,1,3]> (qh)
  kt = Transpose <perm = [0,2,1,3]> (kh)
  vt = Transpose <perm = [0,2,1,3]> (vh))" + repeat + R"(
  kk = Transpose <perm = [0,1,3,2]> (kr)
  s = MatMul (qt, kk)
  p = Softmax <axis = -1> (s)
  o = MatMul (p, vr)
  ot = Transpose <perm = [0,2,1,3]> (o)
  m = Reshape (ot, merged)
  y = MatMul (m, wo))"),
      Weights{{"wq", {8, 8}}, {"bq", {8}}, {"wk", {8, 2 * kv}}, {"wv", {8, 2 * kv}}, {"wo", {8, 8}}});
  const auto shape = [&](const std::string& name, const std::vector<int64_t>& dims) {
    model.graph.set_initializer(name, Tensor::int64s({static_cast<int64_t>(dims.size())}, dims));
  };
  shape("by_head", {0, 3, 4, 2});
  shape("by_kv", {0, 3, kv, 2});
  shape("two", {2});
  shape("many", {1, kv, 4 / kv, 3, 2});
  shape("joined", {-1, 4, 3, 2});
  shape("merged", {0, 3, 8});
  return model;
}

TEST(ChannelRules, WholeAttentionHeads) {
  const Model model = attention_model(4);
  EXPECT_THAT(only_group(model), ElementsAre("wq:1*2", "bq:0*2", "wk:1*2", "wv:1*2", "wo:0*2"));
  expect_consistent(model, {image({2, 3, 8})});
}

TEST(ChannelRules, GroupedQueryHeads) {
  const Model model = attention_model(2);
  EXPECT_THAT(only_group(model), ElementsAre("wq:1*4", "bq:0*4", "wk:1*2", "wv:1*2", "wo:0*4"));
  const Model cut = cut_channels(model, {{"wq", {0}}});
  EXPECT_EQ(cut.graph.initializer("wo")->tensor.dims, (Dims{4, 8}));
  expect_consistent(model, {image({2, 3, 8})});
}

TEST(ChannelRules, OneProjectionOfQueriesKeysAndValues) {
  Model model = random_model(graph("(float[N,3,4] x) => (float[N,3,4] y)", R"(
  a = MatMul (x, w)
  r = Reshape (a, parts)
  t = Transpose <perm = [2,0,3,1,4]> (r)
  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  two = Constant <value = int64 {2}> ()
  q = Gather <axis = 0> (t, zero)
  k = Gather <axis = 0> (t, one)
  v = Gather <axis = 0> (t, two)
  kt = Transpose <perm = [0,1,3,2]> (k)
  s = MatMul (q, kt)
  p = Softmax <axis = -1> (s)
  o = MatMul (p, v)
  ot = Transpose <perm = [0,2,1,3]> (o)
  m = Reshape (ot, merged)
  y = MatMul (m, wo))"),
                             Weights{{"w", {4, 18}}, {"wo", {6, 4}}});
  model.graph.set_initializer("parts", Tensor::int64s({5}, std::vector<int64_t>{0, 3, 3, 3, 2}));
  model.graph.set_initializer("merged", Tensor::int64s({3}, std::vector<int64_t>{0, 3, 6}));
  EXPECT_THAT(only_group(model), ElementsAre("w:1*6", "wo:0*2"));
  EXPECT_THAT(channel_groups(model)[0].members[0].positions[1], ElementsAre(2, 3, 8, 9, 14, 15));
  expect_consistent(model, {image({2, 3, 4})});
}

TEST(ChannelRules, EmbeddingAndLayerNorm) {
  Model model = random_model(graph("(int64[N,3] ids) => (float[N,3,2] y)", R"(
  e = Gather (table, ids)
  n = LayerNormalization (e, scale, shift)
  y = MatMul (n, w))"),
                             Weights{{"table", {7, 6}}, {"scale", {6}}, {"shift", {6}}, {"w", {6, 2}}});
  const ChannelGroup group = channel_groups(model)[0];
  EXPECT_THAT(members_of(group), ElementsAre("table:1*1", "scale:0*1", "shift:0*1", "w:0*1"));
  EXPECT_FALSE(group.exact);
  EXPECT_THAT(group.inexact, HasSubstr("LayerNormalization"));
  const std::vector<at::Tensor> ids = {at::tensor({0, 3, 6}, at::kLong).view({1, 3})};
  expect_consistent(model, ids);
  // What remains is normalized by its own statistics.
  const Model cut = cut_channels(model, {{group.name, {1, 4}}});
  const at::Tensor kept = at::tensor({0, 2, 3, 5}, at::kLong);
  const auto part = [&](const char* name, int64_t axis) {
    return to_aten(model.graph.initializer(name)->tensor, false).index_select(axis, kept);
  };
  const at::Tensor rows = part("table", 1).index_select(0, ids[0].flatten());
  const at::Tensor want = at::layer_norm(rows, {4}, part("scale", 0), part("shift", 0)).matmul(part("w", 0));
  EXPECT_TRUE(at::allclose(testing::run_model(cut, ids)[0][0], want, 1e-5, 1e-5));
}

TEST(ChannelRules, GroupNormLosesWholeGroups) {
  const Model model =
      random_model(graph("(float[N,2,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  n = GroupNormalization <num_groups = 3> (a, scale, shift)
  y = Conv <kernel_shape = [1,1]> (n, last))",
                         21),
                   Weights{{"w", {6, 2, 1, 1}}, {"scale", {6}}, {"shift", {6}}, {"last", {2, 6, 1, 1}}});
  EXPECT_THAT(only_group(model), ElementsAre("w:0*2", "scale:0*2", "shift:0*2", "last:1*2"));
  EXPECT_EQ(cut_channels(model, {{"w", {0}}}).graph.nodes[1].get_int("num_groups", 0), 2);
  expect_consistent(model, {image({2, 2, 4, 4})});
}

TEST(ChannelRules, GroupNormOfReshapeAndInstanceNorm) {
  Model model = random_model(graph("(float[N,2,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  groups = Constant <value = int64[3] {0, 3, -1}> ()
  g = Reshape (a, groups)
  count = Constant <value = int64[1] {3}> ()
  one = Constant <value = float {1.0}> ()
  ones = Expand (one, count)
  n = InstanceNormalization (g, ones, ones)
  dims = Shape (a)
  b = Reshape (n, dims)
  y = Conv <kernel_shape = [1,1]> (b, last))"),
                             Weights{{"w", {6, 2, 1, 1}}, {"last", {2, 6, 1, 1}}});
  EXPECT_THAT(only_group(model), ElementsAre("w:0*2", "last:1*2"));
  expect_consistent(model, {image({2, 2, 4, 4})});
}

TEST(ChannelRules, ShuffledGroupsAreOneChannel) {
  Model model = random_model(graph("(float[N,2,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  g = Conv <kernel_shape = [1,1], group = 3> (a, first)
  apart = Constant <value = int64[5] {0, 3, 4, 4, 4}> ()
  r = Reshape (g, apart)
  t = Transpose <perm = [0,2,1,3,4]> (r)
  together = Constant <value = int64[4] {0, 12, 4, 4}> ()
  s = Reshape (t, together)
  h = Conv <kernel_shape = [1,1], group = 3> (s, second)
  y = Conv <kernel_shape = [1,1]> (h, last))"),
                             Weights{{"w", {12, 2, 1, 1}},
                                     {"first", {12, 4, 1, 1}},
                                     {"second", {12, 4, 1, 1}},
                                     {"last", {2, 12, 1, 1}}});
  for (const ChannelGroup& group : channel_groups(model)) EXPECT_FALSE(group.obstacle.empty()) << group.name;
}

TEST(ChannelRules, RecurrentUnits) {
  for (const auto& [op, gates] : {std::pair<std::string, int64_t>{"LSTM", 4}, {"GRU", 3}, {"RNN", 1}}) {
    const Model model = random_model(
        graph("(float[5,N,3] x) => (float[5,N,2] z)", fmt::format(R"(
  y, last = {} <hidden_size = 4, direction = "bidirectional"> (x, w, r, b)
  t = Transpose <perm = [0,2,1,3]> (y)
  shape = Constant <value = int64[3] {{0, 0, -1}}> ()
  f = Reshape (t, shape)
  z = MatMul (f, fc))",
                                                                  op)),
        Weights{
            {"w", {2, gates * 4, 3}}, {"r", {2, gates * 4, 4}}, {"b", {2, 2 * gates * 4}}, {"fc", {8, 2}}});
    EXPECT_THAT(only_group(model), ElementsAre(fmt::format("w:1*{}", gates), fmt::format("r:1*{}", gates),
                                               "r:2*1", fmt::format("b:1*{}", 2 * gates), "fc:0*2"))
        << op;
    EXPECT_EQ(cut_channels(model, {{"w", {1}}}).graph.nodes[0].get_int("hidden_size", 0), 3);
    expect_consistent(model, {image({5, 2, 3})});
  }
}

TEST(ChannelRules, ViewsAndRepetitions) {
  const Model model =
      random_model(graph("(float[N,2,4,4] x) => (float[N,2,8,8] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  d = DepthToSpace <blocksize = 2> (a)
  scales = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> ()
  none = Constant <value = float[0] {}> ()
  big = Resize <mode = "nearest"> (a, none, scales)
  b = Conv <kernel_shape = [1,1]> (big, w2)
  pads = Constant <value = int64[8] {0, 1, 0, 0, 0, 2, 0, 0}> ()
  wide = Pad (d, pads)
  repeats = Constant <value = int64[4] {1, 2, 1, 1}> ()
  twice = Tile (wide, repeats)
  c = Conv <kernel_shape = [1,1]> (twice, w3)
  y = Add (b, c))"),
                   Weights{{"w", {12, 2, 1, 1}}, {"w2", {2, 12, 1, 1}}, {"w3", {2, 12, 1, 1}}});
  EXPECT_THAT(only_group(model), ElementsAre("w:0*4", "w2:1*4", "w3:1*2"));
  const ChannelGroup group = channel_groups(model)[0];
  EXPECT_THAT(group.members[0].positions[1], ElementsAre(1, 4, 7, 10)) << "depth, column, row order";
  EXPECT_THAT(group.members[2].positions[1], ElementsAre(2, 8)) << "one padded channel before";
  expect_consistent(model, {image({1, 2, 4, 4})});
}

TEST(ChannelRules, SharedWeightsAreCutOnce) {
  const Model model = random_model(graph("(float[N,4] x) => (float[N,2] y)", R"(
  a = Gemm <transB = 1> (x, first)
  b = Gemm <transB = 1> (a, shared)
  c = Gemm <transB = 1> (b, shared)
  y = Gemm <transB = 1> (c, last))"),
                                   Weights{{"first", {5, 4}}, {"shared", {5, 5}}, {"last", {2, 5}}});
  EXPECT_THAT(only_group(model), ElementsAre("first:0*1", "shared:0*1", "shared:1*1", "last:1*1"));
  expect_consistent(model, {image({2, 4})});
}

TEST(ChannelRules, EinsumByLabels) {
  const Model model = random_model(graph("(float[N,3,4] x) => (float[N,3,2] y)", R"(
  a = Einsum <equation = "btd, dh -> bth"> (x, w)
  y = Einsum <equation = "bth,ho->bto"> (a, last))"),
                                   Weights{{"w", {4, 5}}, {"last", {5, 2}}});
  EXPECT_THAT(only_group(model), ElementsAre("w:1*1", "last:0*1"));
  expect_consistent(model, {image({2, 3, 4})});
}

TEST(ChannelRules, FusedAttentionLosesHeads) {
  const Model model = random_model(graph("(float[N,3,8] x) => (float[N,3,8] y)", R"(
  q = MatMul (x, wq)
  k = MatMul (x, wk)
  v = MatMul (x, wv)
  a = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v)
  y = MatMul (a, wo))",
                                         23),
                                   Weights{{"wq", {8, 8}}, {"wk", {8, 4}}, {"wv", {8, 4}}, {"wo", {8, 8}}});
  EXPECT_THAT(only_group(model), ElementsAre("wq:1*4", "wk:1*2", "wv:1*2", "wo:0*4"));
  const Model cut = cut_channels(model, {{"wq", {1}}});
  EXPECT_EQ(cut.graph.nodes[3].get_int("q_num_heads", 0), 2);
  EXPECT_EQ(cut.graph.nodes[3].get_int("kv_num_heads", 0), 1);
  expect_consistent(model, {image({2, 3, 8})});
}

TEST(ChannelRules, SequencesOfPartsAreSplits) {
  const Model model = random_model(graph("(float[N,2,4,4] x) => (float[N,2,4,4] y)", R"(
  a = Conv <kernel_shape = [1,1]> (x, w)
  size = Constant <value = int64 {3}> ()
  zero = Constant <value = int64 {0}> ()
  back = Constant <value = int64 {-1}> ()
  parts = SplitToSequence <axis = 1> (a, size)
  p = SequenceAt (parts, zero)
  q = SequenceAt (parts, back)
  m = Mul (p, q)
  y = Conv <kernel_shape = [1,1]> (m, last))"),
                                   Weights{{"w", {6, 2, 1, 1}}, {"last", {2, 3, 1, 1}}});
  EXPECT_THAT(only_group(model), ElementsAre("w:0*2", "last:1*1"));
  expect_consistent(model, {image({1, 2, 4, 4})});
}

TEST(ChannelRules, QuantizedWeightsWithAScaleForEachRow) {
  Model model = random_model(graph("(float[N,4] x) => (float[N,2] y)", R"(
  w = DequantizeLinear <axis = 0> (codes, scale)
  a = Gemm <transB = 1> (x, w)
  y = Gemm <transB = 1> (a, last))"),
                             Weights{{"scale", {5}}, {"last", {2, 5}}});
  std::vector<int8_t> codes(20);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(7 * i % 23) - 11;
  model.graph.set_initializer("codes", Tensor::of<int8_t>(DType::kInt8, {5, 4}, codes));
  EXPECT_THAT(only_group(model), ElementsAre("codes:0*1", "scale:0*1", "last:1*1"));
  expect_consistent(model, {image({2, 4})});
}

TEST(ChannelRules, HugeAxesAreNobodysChannels) {
  const Model model = parse_model(graph("(float[4000000000000,9] x) => (float[4000000000000,9] y)", R"(
  a = Concat <axis = 0> (x, x)
  b = Concat <axis = 0> (a, a)
  y = Relu (x))"));
  EXPECT_THAT(channel_groups(model), IsEmpty());
}

TEST(ChannelRules, WhatIsNeededWholeSaysWhy) {
  const Model model = random_model(
      graph("(float[N,2,4,4] x) => (float[N,4,4,4] y, float[N,5,4,4] z)", R"(
  a = Conv <kernel_shape = [1,1]> (x, wa)
  [soft] s = Softmax <axis = 1> (a)
  y = Conv <kernel_shape = [1,1]> (s, wy)
  b = Conv <kernel_shape = [1,1]> (x, wb)
  [odd] o = Foreign (b)
  z = Conv <kernel_shape = [1,1]> (o, wz))"),
      Weights{{"wa", {3, 2, 1, 1}}, {"wy", {4, 3, 1, 1}}, {"wb", {3, 2, 1, 1}}, {"wz", {5, 3, 1, 1}}});
  const std::vector<ChannelGroup> groups = channel_groups(model);
  EXPECT_THAT(find_group(groups, "wa")->obstacle, HasSubstr("node 'soft' (Softmax)"));
  EXPECT_THAT(find_group(groups, "wb")->obstacle, HasSubstr("node 'odd' (Foreign)"));
  EXPECT_THAT(find_group(groups, "wy")->obstacle, HasSubstr("'y' is an output"));
  for (const ChannelGroup& group : groups) EXPECT_FALSE(group.obstacle.empty());
}

}  // namespace
}  // namespace mc
