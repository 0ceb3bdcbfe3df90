// Operators that put values together, take them apart, or repeat and extend them.
#include <algorithm>

#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

bool countable(int64_t size) {
  return size >= 0 && size <= AxisClasses::kLongest;
}

void join_concat(Ports& node) {
  const ChannelValue* y = node.out(0);
  const int64_t axis = y ? wrap_axis(node.node().get_int("axis", 1), y->rank()) : -1;
  if (axis < 0) return;
  for (size_t i = 0; i < node.inputs(); ++i) {
    if (!node.in(i) || node.in(i)->rank() != y->rank() || !countable(node.in(i)->dims[axis])) return;
  }
  int64_t begin = 0;
  for (size_t i = 0; i < node.inputs(); ++i) {
    const ChannelValue* x = node.in(i);
    for (int64_t k = 0; k < y->rank(); ++k) {
      if (k != axis) node.same(Ports::axis(x, k), Ports::axis(y, k));
    }
    node.link(Ports::axis(x, axis), Ports::axis(y, axis), [begin](int64_t j) { return j - begin; });
    begin += x->dims[axis];
  }
}

void join_split(Ports& node) {
  const ChannelValue* x = node.in(0);
  const int64_t axis = x ? wrap_axis(node.node().get_int("axis", 0), x->rank()) : -1;
  if (axis < 0) return;
  for (size_t i = 0; i < node.outputs(); ++i) {
    if (!node.out(i) || node.out(i)->rank() != x->rank() || !countable(node.out(i)->dims[axis])) return;
  }
  // Sizes that are computed cannot be rewritten.
  const bool rewritable = !node.given(1, "split") || node.ints(1, "split");
  int64_t begin = 0;
  for (size_t i = 0; i < node.outputs(); ++i) {
    const ChannelValue* y = node.out(i);
    for (int64_t k = 0; k < x->rank(); ++k) {
      if (k != axis) node.same(Ports::axis(x, k), Ports::axis(y, k));
    }
    if (rewritable)
      node.link(Ports::axis(x, axis), Ports::axis(y, axis), [begin](int64_t j) { return begin + j; });
    begin += y->dims[axis];
  }
}

void cut_split(CutNode& node) {
  const ChannelValue* x = node.in(0);
  const int64_t axis = x ? wrap_axis(node.node().get_int("axis", 0), x->rank()) : -1;
  if (axis < 0 || !node.changed(x, axis)) return;
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < node.node().outputs.size(); ++i) sizes.push_back(node.size(node.out(i), axis));
  node.node().erase("num_outputs");
  if (node.opset() < 13) {
    node.node().set({"split", sizes});
  } else {
    node.set_ints(1, {}, sizes);
  }
}

struct SliceRange {
  int64_t axis, start, step;
};

// The ranges of a Slice whose arguments are constant; nullopt where they are not.
std::optional<std::vector<SliceRange>> slice_ranges(const Node& node, const ChannelValue* x,
                                                    const std::optional<std::vector<int64_t>>& starts,
                                                    const std::optional<std::vector<int64_t>>& axes,
                                                    const std::optional<std::vector<int64_t>>& steps) {
  if (!starts) return std::nullopt;
  std::vector<SliceRange> ranges;
  for (size_t i = 0; i < starts->size(); ++i) {
    const bool no_axis = axes ? i >= axes->size() : !node.input(3).empty();
    const bool no_step = steps ? i >= steps->size() : !node.input(4).empty();
    if (no_axis || no_step) return std::nullopt;
    const int64_t axis = wrap_axis(axes ? (*axes)[i] : static_cast<int64_t>(i), x->rank());
    if (axis < 0 || x->dims[axis] < 0) {
      if (axis < 0) return std::nullopt;
      ranges.push_back({axis, 0, 0});  // nobody knows where it starts
      continue;
    }
    const int64_t size = x->dims[axis];
    const int64_t start = (*starts)[i] < 0 ? (*starts)[i] + size : (*starts)[i];
    ranges.push_back({axis, std::clamp<int64_t>(start, 0, size), steps ? (*steps)[i] : 1});
  }
  return ranges;
}

void join_slice(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() != y->rank()) return;
  const auto ranges =
      slice_ranges(node.node(), x, node.ints(1, "starts"), node.ints(3, "axes"), node.ints(4));
  if (!ranges) return;
  for (int64_t k = 0; k < x->rank(); ++k) {
    const auto range = std::ranges::find(*ranges, k, &SliceRange::axis);
    if (range == ranges->end()) {
      node.same(Ports::axis(x, k), Ports::axis(y, k));
    } else if (range->step == 1 && node.ints(2, "ends")) {
      node.link(Ports::axis(x, k), Ports::axis(y, k),
                [start = range->start](int64_t j) { return start + j; });
    }
  }
}

void cut_slice(CutNode& node) {
  const ChannelValue* x = node.in(0);
  if (!x) return;
  auto starts = node.ints(1, "starts"), ends = node.ints(2, "ends");
  const auto ranges = slice_ranges(node.node(), x, starts, node.ints(3, "axes"), node.ints(4));
  if (!ranges || !ends) return;
  bool any = false;
  for (size_t i = 0; i < ranges->size() && i < ends->size(); ++i) {
    const int64_t axis = (*ranges)[i].axis;
    if (!node.changed(x, axis)) continue;
    any = true;
    (*starts)[i] = node.kept_before(x, axis, (*ranges)[i].start);
    (*ends)[i] = (*starts)[i] + node.size(node.out(0), axis);
  }
  if (!any) return;
  node.set_ints(1, "starts", *starts);
  node.set_ints(2, "ends", *ends);
}

// For each axis of x what is put before and behind it; nullopt where that is not known.
template <class Ints>
std::optional<std::vector<std::pair<int64_t, int64_t>>> pads_of(const Ints& ints, const Node& node,
                                                                int64_t rank) {
  const auto pads = ints(1, "pads");
  const auto axes = ints(3, "");
  if (!pads || (!axes && !node.input(3).empty())) return std::nullopt;
  const size_t count = axes ? axes->size() : static_cast<size_t>(rank);
  if (pads->size() != 2 * count) return std::nullopt;
  std::vector<std::pair<int64_t, int64_t>> result(rank);
  for (size_t i = 0; i < count; ++i) {
    const int64_t axis = wrap_axis(axes ? (*axes)[i] : static_cast<int64_t>(i), rank);
    if (axis < 0) return std::nullopt;
    result[axis] = {(*pads)[i], (*pads)[i + count]};
  }
  return result;
}

void join_pad(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() != y->rank()) return;
  const auto ints = [&](size_t i, std::string_view name) { return node.ints(i, name); };
  const auto pads = pads_of(ints, node.node(), x->rank());
  if (!pads) return;
  const bool constant = node.node().get_string("mode", "constant") == "constant";
  for (int64_t k = 0; k < x->rank(); ++k) {
    const auto [before, behind] = (*pads)[k];
    if (before == 0 && behind == 0) {
      node.same(Ports::axis(x, k), Ports::axis(y, k));
    } else if (constant && before >= 0 && behind >= 0) {
      node.link(Ports::axis(x, k), Ports::axis(y, k), [from = before](int64_t j) { return j - from; });
    }
  }
}

// Padded channels may go too: whoever reads them may be cut.
void cut_pad(CutNode& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y) return;
  const auto ints = [&](size_t i, std::string_view name) { return node.ints(i, name); };
  const auto pads = pads_of(ints, node.node(), x->rank());
  auto written = node.ints(1, "pads");
  if (!pads || !written) return;
  const auto axes = node.ints(3);
  const size_t count = written->size() / 2;
  bool any = false;
  for (size_t i = 0; i < count; ++i) {
    const int64_t axis = wrap_axis(axes ? (*axes)[i] : static_cast<int64_t>(i), x->rank());
    const auto [before, behind] = (*pads)[axis];
    if (!node.changed(y, axis) || (before == 0 && behind == 0)) continue;
    any = true;
    (*written)[i] = node.kept_before(y, axis, before);
    (*written)[i + count] = node.size(y, axis) - node.kept_before(y, axis, before + x->dims[axis]);
  }
  if (any) node.set_ints(1, "pads", *written);
}

// Where x has 1, the shape says how often it is repeated, and follows a cut.
void join_expand(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() > y->rank()) return;
  const int64_t shift = y->rank() - x->rank();
  const ChannelValue* shape = node.in(1);
  if (!shape || shape->rank() != 1 || shape->dims[0] < 0) return;
  const int64_t unsaid = y->rank() - shape->dims[0];
  for (int64_t k = 0; k < y->rank(); ++k) {
    const bool writable = k < unsaid || node.follows(1, k - unsaid, Ports::axis(y, k));
    if (!writable) continue;
    if (k < shift || x->dims[k - shift] == 1) {
      node.leave(Ports::axis(y, k));
      if (k >= shift) node.leave(Ports::axis(x, k - shift));
    } else {
      node.same(Ports::axis(x, k - shift), Ports::axis(y, k));
    }
  }
}

void cut_shape_input(CutNode& node) {
  node.set_shape(1);
}

// Values computed from a shape alone: one constant everywhere.
void join_constant_of_shape(Ports& node) {
  const ChannelValue* y = node.out(0);
  for (int64_t k = 0; y && k < y->rank(); ++k) {
    if (node.follows(0, k, Ports::axis(y, k))) node.leave(Ports::axis(y, k));
  }
}

void cut_constant_of_shape(CutNode& node) {
  node.set_shape(0);
}

void join_tile(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() != y->rank()) return;
  for (int64_t k = 0; k < x->rank(); ++k) {
    const AxisId from = Ports::axis(x, k), to = Ports::axis(y, k);
    const int64_t size = x->dims[k];
    const auto repeats = node.number(1, k);
    if (!repeats) continue;
    if (*repeats == 1) {
      node.same(from, to);
    } else if (size == 1 && node.ints(1)) {
      node.leave(from);
      node.leave(to);
    } else if (size > 1) {
      node.link(from, to, [size](int64_t j) { return j % size; });
    }
  }
}

void cut_tile(CutNode& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  auto repeats = node.ints(1);
  if (!x || !y || !repeats) return;
  bool any = false;
  for (int64_t k = 0; k < x->rank(); ++k) {
    if (x->dims[k] != 1 || !node.changed(y, k)) continue;
    (*repeats)[k] = node.size(y, k);
    any = true;
  }
  if (any) node.set_ints(1, {}, *repeats);
}

// Axes that keep their size; `sizes` counts them.
void join_resize(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() != y->rank()) return;
  const bool sized = !node.node().input(3).empty();
  if (node.node().find("axes") && sized) {
    const auto axes = node.node().get_ints("axes");
    for (int64_t k = 0; k < x->rank(); ++k) {
      const bool resized = std::ranges::any_of(axes, [&](int64_t a) { return wrap_axis(a, x->rank()) == k; });
      if (!resized) node.same(Ports::axis(x, k), Ports::axis(y, k));
    }
    return;
  }
  for (int64_t k = 0; k < 2 && k < x->rank(); ++k) {
    const bool follows = !sized || node.follows(3, k, Ports::axis(y, k));
    if (follows && x->dims[k] == y->dims[k]) node.same(Ports::axis(x, k), Ports::axis(y, k));
  }
}

void cut_resize(CutNode& node) {
  if (!node.node().input(3).empty() && !node.node().find("axes")) node.set_shape(3);
}

void join_nothing(Ports& node) {
  const ChannelValue* y = node.out(0);
  for (int64_t k = 0; y && k < y->rank(); ++k) node.leave(Ports::axis(y, k));
}

}  // namespace

std::vector<ChannelRule> join_channel_rules() {
  return {{"Concat", join_concat},
          {"Split", join_split, cut_split},
          {"Slice", join_slice, cut_slice},
          {"Pad", join_pad, cut_pad},
          {"Expand", join_expand, cut_shape_input},
          {"ConstantOfShape", join_constant_of_shape, cut_constant_of_shape},
          {"Tile", join_tile, cut_tile},
          {"Resize", join_resize, cut_resize},
          {"Upsample", join_resize},
          {"Constant", join_nothing}};
}

}  // namespace mc
