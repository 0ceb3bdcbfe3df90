// Reductions, and what else takes axes away or adds them.
#include <algorithm>

#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

bool contains(const std::vector<int64_t>& axes, int64_t axis) {
  return std::ranges::find(axes, axis) != axes.end();
}

// The axes that the node names, `otherwise` where it names none; nullopt where they are not known, or out of
// range.
std::optional<std::vector<int64_t>> axes_of(Ports& node, int64_t rank, std::vector<int64_t> otherwise) {
  if (!node.given(1, "axes")) return otherwise;
  auto axes = node.ints(1, "axes");
  if (!axes) return std::nullopt;
  for (int64_t& axis : *axes) {
    axis = wrap_axis(axis, rank);
    if (axis < 0) return std::nullopt;
  }
  return axes;
}

// Joins the axes of `longer` that are not among `axes`, which go or come, with those of `shorter`, in order.
void join_rest(Ports& node, const ChannelValue* longer, const std::vector<int64_t>& axes,
               const ChannelValue* shorter) {
  int64_t at = 0;
  for (int64_t k = 0; k < longer->rank(); ++k) {
    if (contains(axes, k)) {
      node.leave(Ports::axis(longer, k));
    } else {
      node.same(Ports::axis(longer, k), Ports::axis(shorter, at++));
    }
  }
}

// `mixes`: the axes that go may be cut, as a sum or mean of the channels that remain.
void join_kept(Ports& node, const std::vector<int64_t>& axes, bool keepdims, bool mixes) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  int64_t at = 0;
  for (int64_t k = 0; k < x->rank(); ++k) {
    if (contains(axes, k)) {
      if (mixes) {
        node.leave(Ports::axis(x, k));
        node.inexact(Ports::axis(x, k));
      }
      if (keepdims) node.leave(Ports::axis(y, at++));
    } else {
      node.same(Ports::axis(x, k), Ports::axis(y, at++));
    }
  }
}

// Of the channels that remain. Not equal to the masked model: a mean counts zeros, and an activation
// function may make something else of a zero.
void join_reduction(Ports& node, bool mixes) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y) return;
  auto axes = axes_of(node, x->rank(), {});
  if (!axes) return;
  if (axes->empty()) {
    if (node.node().get_int("noop_with_empty_axes", 0)) return node.same_axes(x, y);
    for (int64_t k = 0; k < x->rank(); ++k) axes->push_back(k);
  }
  join_kept(node, *axes, node.node().get_int("keepdims", 1) != 0, mixes);
}

void join_mean(Ports& node) {
  join_reduction(node, true);
}
void join_extreme(Ports& node) {
  join_reduction(node, false);
}

void join_arg(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  const int64_t axis = x ? wrap_axis(node.node().get_int("axis", 0), x->rank()) : -1;
  if (!y || axis < 0) return;
  join_kept(node, {axis}, node.node().get_int("keepdims", 1) != 0, false);
}

// Without axes those of one element go, which must be known then.
void join_squeeze(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y) return;
  std::vector<int64_t> ones;
  for (int64_t k = 0; k < x->rank(); ++k) {
    if (x->dims[k] < 0 && !node.given(1, "axes")) return;
    if (x->dims[k] == 1) ones.push_back(k);
  }
  if (const auto axes = axes_of(node, x->rank(), ones)) join_rest(node, x, *axes, y);
}

void join_unsqueeze(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y) return;
  if (const auto axes = axes_of(node, y->rank(), {})) join_rest(node, y, *axes, x);
}

}  // namespace

std::vector<ChannelRule> reduce_channel_rules() {
  std::vector<ChannelRule> rules;
  for (const char* name : {"ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2"})
    rules.push_back({name, join_mean});
  for (const char* name : {"ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp"})
    rules.push_back({name, join_extreme});
  rules.push_back({"ArgMax", join_arg});
  rules.push_back({"ArgMin", join_arg});
  rules.push_back({"Squeeze", join_squeeze});
  rules.push_back({"Unsqueeze", join_unsqueeze});
  return rules;
}

}  // namespace mc
