// Vision transformer: Dosovitskiy et al. 2021 (arXiv 2010.11929), pre-norm blocks, a class token, learned
// positions. The width is DeiT-Ti's (arXiv 2012.12877): 192 features, 3 heads; 12 blocks on patches of
// 16 pixels, or 6 blocks on patches of 4 for images under 64 pixels. Names as in timm.
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "mc/base/error.h"
#include "mc/models/builder.h"
#include "mc/models/families.h"

namespace mc {
namespace {

constexpr int64_t kHeads = 3, kMlpRatio = 4;
constexpr double kFeatures = 192;
constexpr float kEpsilon = 1e-6f;

LinearInit linear_init() {
  return {truncated_normal_init(0.02), constant_init(0)};
}

// [C, H, W] -> [tokens, features] with the class token first.
Feature embed(GraphBuilder& net, const Feature& image, int64_t patch, int64_t features) {
  const double fan_in = static_cast<double>(image.channels() * patch * patch);
  ConvOptions options{.kernel = patch, .stride = patch, .bias = true};
  options.init = truncated_normal_init(std::sqrt(1 / fan_in));
  Feature patches = net.conv("patch_embed.proj", image, features, options);
  const int64_t count = patches.shape[1] * patches.shape[2];
  const std::string flat = net.integers("patch_embed.shape", {0, features, count});
  Feature columns = net.node("patch_embed.flatten", "Reshape", {patches.value, flat}, {features, count});
  Feature tokens = net.node("patch_embed", "Transpose", {columns.value}, {count, features},
                            {{"perm", std::vector<int64_t>{0, 2, 1}}});

  const std::string token = net.parameter("cls_token", {1, 1, features}, truncated_normal_init(0.02));
  Feature batch = net.node("cls_token.batch", "Shape", {tokens.value}, {}, {{"start", 0}, {"end", 1}});
  Feature shape =
      net.node("cls_token.shape", "Concat",
               {batch.value, net.integers("cls_token.sample_shape", {1, features})}, {}, {{"axis", 0}});
  Feature expanded = net.node("cls_token.expand", "Expand", {token, shape.value}, {1, features});
  const std::vector<int64_t> all = {count + 1, features};
  Feature joined = net.node("tokens", "Concat", {expanded.value, tokens.value}, all, {{"axis", 1}});
  const std::string positions =
      net.parameter("pos_embed", {1, count + 1, features}, truncated_normal_init(0.02));
  return net.node("embedding", "Add", {joined.value, positions}, all);
}

// Softmax(Q K^T / sqrt(d)) V by head (Vaswani et al. 2017, section 3.2).
Feature attention(GraphBuilder& net, const std::string& name, const Feature& x) {
  const int64_t tokens = x.shape[0], features = x.shape[1], size = features / kHeads;
  Feature qkv = net.linear(name + ".qkv", x, 3 * features, linear_init());
  const std::vector<std::string> parts = {name + ".q", name + ".k", name + ".v"};
  net.node_with_outputs(name + ".split", "Split",
                        {qkv.value, net.integers(name + ".sizes", std::vector<int64_t>(3, features))}, parts,
                        {{"axis", 2}});
  const std::string by_head = net.integers(name + ".by_head", {0, tokens, kHeads, size});
  auto heads = [&](const std::string& part, std::vector<int64_t> shape, std::vector<int64_t> order) {
    Feature split = net.node(part + ".heads", "Reshape", {part, by_head}, {tokens, kHeads, size});
    return net.node(part + ".transpose", "Transpose", {split.value}, std::move(shape),
                    {{"perm", std::move(order)}});
  };
  Feature q = heads(parts[0], {kHeads, tokens, size}, {0, 2, 1, 3});
  Feature k = heads(parts[1], {kHeads, size, tokens}, {0, 2, 3, 1});
  Feature v = heads(parts[2], {kHeads, tokens, size}, {0, 2, 1, 3});
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  q = net.node(name + ".scaled", "Mul", {q.value, net.scalar(name + ".scale", scale)}, q.shape);
  Feature scores = net.node(name + ".scores", "MatMul", {q.value, k.value}, {kHeads, tokens, tokens});
  Feature weights = net.node(name + ".softmax", "Softmax", {scores.value}, scores.shape, {{"axis", -1}});
  Feature mixed = net.node(name + ".mixed", "MatMul", {weights.value, v.value}, v.shape);
  Feature rows = net.node(name + ".rows", "Transpose", {mixed.value}, {tokens, kHeads, size},
                          {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  Feature merged = net.node(name + ".merged", "Reshape",
                            {rows.value, net.integers(name + ".merge", {0, tokens, features})}, x.shape);
  return net.linear(name + ".proj", merged, features, linear_init());
}

Feature block(GraphBuilder& net, const std::string& name, const Feature& x) {
  const int64_t features = x.shape[1];
  Feature attended = attention(net, name + ".attn", net.layer_norm(name + ".norm1", x, kEpsilon));
  Feature y = net.add(name + ".add1", x, attended);
  Feature z = net.layer_norm(name + ".norm2", y, kEpsilon);
  z = net.gelu(name + ".mlp.act", net.linear(name + ".mlp.fc1", z, kMlpRatio * features, linear_init()));
  return net.add(name + ".add2", y, net.linear(name + ".mlp.fc2", z, features, linear_init()));
}

}  // namespace

Model build_vit(const ModelOptions& options) {
  const bool small = is_small_image(options);
  const int64_t patch = small ? 4 : 16, blocks = small ? 6 : 12;
  MC_CHECK(options.input_shape[1] % patch == 0 && options.input_shape[2] % patch == 0,
           "an image of {} x {} does not divide into patches of {} x {} pixels", options.input_shape[1],
           options.input_shape[2], patch, patch);
  GraphBuilder net("vit", options.seed);
  const int64_t features = scaled_channels(kFeatures, options.width, 8 * kHeads);
  Feature x = embed(net, net.input(options.input_shape), patch, features);
  for (int64_t i = 0; i < blocks; ++i) x = block(net, fmt::format("blocks.{}", i), x);
  x = net.layer_norm("norm", x, kEpsilon);
  // A scalar index takes its axis away: [batch, tokens, features] -> [batch, features].
  Feature token = net.node("class_token", "Gather", {x.value, net.index("class_token.index", 0)}, {features},
                           {{"axis", 1}});
  return net.finish(net.linear("head", token, options.classes, linear_init()));
}

}  // namespace mc
