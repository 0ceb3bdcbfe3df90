// Normalizations, softmax and pooling.
#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

// Scale, bias, mean and variance by channel; the further outputs are the statistics.
void join_batch_norm(Ports& node) {
  node.same_axes(node.in(0), node.out(0));
  const AxisId channels = Ports::axis(node.in(0), 1);
  for (size_t i = 1; i < node.inputs(); ++i) node.same(channels, Ports::axis(node.in(i), 0));
  for (size_t i = 1; i < node.outputs(); ++i) node.same(channels, Ports::axis(node.out(i), 0));
  for (size_t i = 1; i <= 2; ++i) node.use(i, 0, kMaskable);
}

// mc.FoldedWeight(weight, gamma, var): gamma and var along the weight's axis of output channels.
void join_folded_weight(Ports& node) {
  node.same_axes(node.in(0), node.out(0));
  const AxisId rows = Ports::axis(node.in(0), node.node().get_int("axis", 0));
  for (size_t i = 1; i < node.inputs(); ++i) node.same(rows, Ports::axis(node.in(i), 0));
  node.use(1, 0, kMaskable);
}

// mc.FoldedBatchNormalization(y, gamma, beta, mean, var, frozen).
void join_folded_batch_norm(Ports& node) {
  node.same_axes(node.in(0), node.out(0));
  const AxisId channels = Ports::axis(node.in(0), 1);
  for (size_t i = 1; i < 5; ++i) node.same(channels, Ports::axis(node.in(i), 0));
  for (size_t i = 1; i <= 2; ++i) node.use(i, 0, kMaskable);
}

void join_instance_norm(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  for (int64_t k = 0; k < 2; ++k) node.same(Ports::axis(x, k), Ports::axis(y, k));
  for (size_t i = 1; i <= 2; ++i) {
    node.same(Ports::axis(x, 1), Ports::axis(node.in(i), 0));
    node.use(i, 0, kMaskable);
  }
}

// Axes from `axis` on are normalized together; scale and shift are aligned at the end. What a cut leaves is
// normalized by its own statistics.
void join_over_last(Ports& node, int64_t axis) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  node.same_axes(x, y);
  axis = x ? wrap_axis(axis, x->rank()) : -1;
  if (axis < 0) return;
  for (int64_t k = axis; k < x->rank(); ++k) node.inexact(Ports::axis(x, k));
  for (size_t i = 1; i < node.outputs(); ++i) {
    for (int64_t k = 0; k < axis && node.out(i); ++k)
      node.same(Ports::axis(x, k), Ports::axis(node.out(i), k));
  }
}

void join_scales(Ports& node, size_t first, size_t last) {
  for (size_t i = first; i <= last; ++i) {
    node.broadcast(node.in(i), node.in(0));
    for (int64_t k = 0; node.in(i) && k < node.in(i)->rank(); ++k) node.use(i, k, kMaskable);
  }
}

void join_layer_norm(Ports& node) {
  join_over_last(node, node.node().get_int("axis", -1));
  join_scales(node, 1, 2);
}

// com.microsoft: x, skip, scale, shift (the simplified one has none), bias of x; output 3 is their sum.
void join_skip_norm(Ports& node) {
  join_over_last(node, -1);
  join_scales(node, 1, 4);
  node.same_axes(node.in(0), node.out(3));
}

// Whole groups go, so that what remains is normalized as before. The scale has one element a group up to
// opset 20, one a channel from 21 on.
void join_group_norm(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  const int64_t channels = Ports::dim(x, 1), groups = node.node().get_int("num_groups", 0);
  if (groups < 1 || channels < 1 || channels % groups != 0) return;
  const int64_t size = channels / groups;
  const AxisId axis = Ports::axis(x, 1);
  for (int64_t k = 0; k < 2; ++k) node.same(Ports::axis(x, k), Ports::axis(y, k));
  node.link(axis, axis, [size](int64_t i) { return i / size * size; });
  for (size_t i = 1; i <= 2; ++i) {
    const AxisId scale = Ports::axis(node.in(i), 0);
    node.use(i, 0, kMaskable);
    if (Ports::dim(node.in(i), 0) == channels) {
      node.same(axis, scale);
    } else if (Ports::dim(node.in(i), 0) == groups) {
      node.link(axis, scale, [size](int64_t g) { return g * size; });
    }
  }
}

void cut_group_norm(CutNode& node) {
  const ChannelValue* x = node.in(0);
  const int64_t groups = node.node().get_int("num_groups", 1);
  if (!x || !node.changed(x, 1)) return;
  node.node().set({"num_groups", node.size(x, 1) / (x->dims[1] / groups)});
}

// All axes but those normalized are as they were; these are needed whole.
void join_softmax(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() != y->rank()) return;
  const bool flattens = node.opset() < 13;  // from `axis` on
  const int64_t axis = wrap_axis(node.node().get_int("axis", flattens ? 1 : -1), x->rank());
  for (int64_t k = 0; k < x->rank(); ++k) {
    if (k == axis || (flattens && k > axis)) continue;
    node.same(Ports::axis(x, k), Ports::axis(y, k));
  }
}

void join_lp_norm(Ports& node) {
  node.same_axes(node.in(0), node.out(0));
  node.inexact(Ports::axis(node.in(0), node.node().get_int("axis", -1)));
}

// Batch and channels; space is needed whole.
void join_pool(Ports& node) {
  if (node.outputs() > 1 && node.out(1)) return;  // positions of the maxima count channels
  for (int64_t k = 0; k < 2; ++k) node.same(Ports::axis(node.in(0), k), Ports::axis(node.out(0), k));
}

}  // namespace

std::vector<ChannelRule> norm_channel_rules() {
  return {{"BatchNormalization", join_batch_norm},
          {"FoldedWeight", join_folded_weight, nullptr, "mc"},
          {"FoldedBatchNormalization", join_folded_batch_norm, nullptr, "mc"},
          {"InstanceNormalization", join_instance_norm},
          {"LayerNormalization", join_layer_norm},
          {"RMSNormalization", join_layer_norm},
          {"SimplifiedLayerNormalization", join_layer_norm},
          {"SimplifiedLayerNormalization", join_layer_norm, nullptr, "com.microsoft"},
          {"SkipLayerNormalization", join_skip_norm, nullptr, "com.microsoft"},
          {"SkipSimplifiedLayerNormalization", join_skip_norm, nullptr, "com.microsoft"},
          {"GroupNormalization", join_group_norm, cut_group_norm},
          {"Softmax", join_softmax},
          {"LogSoftmax", join_softmax},
          {"LpNormalization", join_lp_norm},
          {"MaxPool", join_pool},
          {"AveragePool", join_pool},
          {"LpPool", join_pool},
          {"GlobalMaxPool", join_pool},
          {"GlobalAveragePool", join_pool},
          {"GlobalLpPool", join_pool}};
}

}  // namespace mc
