// Operators that give the same elements another shape: a channel of one side is a run, or a comb, of indices
// of the other.
#include <algorithm>

#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

// A run of axes of the input that has the same elements as a run of axes of the output.
struct Block {
  int64_t a_begin, a_end, b_begin, b_end;
};

// Blocks as small as they can be, from the end and from the front; between them may be axes that nobody can
// match, because sizes are not known. `copied(k)`: dim k is said to be the input's.
template <class Copied>
std::vector<Block> blocks_of(const std::vector<int64_t>& a, const std::vector<int64_t>& b, Copied&& copied) {
  std::vector<Block> blocks;
  auto a_end = static_cast<int64_t>(a.size()), b_end = static_cast<int64_t>(b.size());
  const auto equal = [&](int64_t i, int64_t k) { return a[i] == b[k] && a[i] != -1 && a[i] != 0; };
  while (a_end > 0 && b_end > 0) {
    int64_t i = a_end - 1, k = b_end - 1;
    if (!equal(i, k) && (a[i] < 0 || b[k] < 0)) break;
    int64_t left = a[i], right = b[k];
    while (left != right && left > 0 && right > 0) {
      if (left < right) {
        if (i == 0 || a[i - 1] < 0 || a[i - 1] > AxisClasses::kLongest) break;
        left *= a[--i];
      } else {
        if (k == 0 || b[k - 1] < 0 || b[k - 1] > AxisClasses::kLongest) break;
        right *= b[--k];
      }
      if (left > AxisClasses::kLongest || right > AxisClasses::kLongest) break;
    }
    if (left != right || left == 0) break;
    blocks.push_back({i, a_end, k, b_end});
    a_end = i, b_end = k;
  }
  int64_t front = 0;
  while (front < a_end && front < b_end && (copied(front) || equal(front, front))) {
    blocks.push_back({front, front + 1, front, front + 1});
    ++front;
  }
  return blocks;
}

// The axes [begin, end) of `many` are one axis of the other side; the channels are carried by one of them,
// the first unless the network forbids it.
struct Fold {
  const ChannelValue* many;
  int64_t begin, end;
  AxisId one;
  bool splits;
};

void join_fold(Ports& node, const Fold& fold, size_t option, const std::vector<int64_t>& factors) {
  const int64_t carrier = factors[std::min(option, factors.size() - 1)];
  int64_t inner = 1;
  for (int64_t k = carrier + 1; k < fold.end; ++k) inner *= fold.many->dims[k];
  const int64_t size = fold.many->dims[carrier];
  const AxisId axis = Ports::axis(fold.many, carrier);
  node.link(axis, fold.one, [inner, size](int64_t j) { return j / inner % size; });
  for (int64_t k = fold.begin; k < fold.end; ++k) {
    if (k != carrier) node.factor(Ports::axis(fold.many, k));
  }
}

std::vector<int64_t> factors_of(const Fold& fold) {
  std::vector<int64_t> factors;
  for (int64_t k = fold.begin; k < fold.end; ++k) {
    if (fold.many->dims[k] > 1) factors.push_back(k);
  }
  return factors;
}

// Several axes become several others ([24, 8, 8] to [6, 256], as group norms are written): the first of each
// side carry the channels where one size divides the other, the rest is inside of them.
template <class Writable>
void join_leading(Ports& node, const Block& block, Writable&& writable) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  int64_t a = block.a_begin, b = block.b_begin;
  while (a + 1 < block.a_end && x->dims[a] == 1) ++a;
  while (b + 1 < block.b_end && y->dims[b] == 1) ++b;
  const int64_t from = x->dims[a], to = y->dims[b];
  if (from < 2 || to < 2 || (from % to != 0 && to % from != 0) || !writable(b)) return;
  const AxisId read = Ports::axis(x, a), made = Ports::axis(y, b);
  if (from == to) {
    node.same(read, made);
  } else if (from > to) {
    node.link(made, read, [run = from / to](int64_t i) { return i / run; });
  } else {
    node.link(read, made, [run = to / from](int64_t i) { return i / run; });
  }
  for (int64_t k = block.a_begin; k < block.a_end; ++k) {
    if (k != a) node.factor(Ports::axis(x, k));
  }
  for (int64_t k = block.b_begin; k < block.b_end; ++k) {
    if (k != b) node.factor(Ports::axis(y, k));
  }
}

// `writable(k)`: output dim k can follow a cut.
template <class Copied, class Writable>
void join_view(Ports& node, Copied&& copied, Writable&& writable) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y) return;
  std::vector<Fold> folds;
  size_t options = 1;
  bool splits = false;
  for (const Block& block : blocks_of(x->dims, y->dims, copied)) {
    const int64_t as = block.a_end - block.a_begin, bs = block.b_end - block.b_begin;
    if (as == 1 && bs == 1) {
      if (writable(block.b_begin)) node.same(Ports::axis(x, block.a_begin), Ports::axis(y, block.b_begin));
      continue;
    }
    if (as != 1 && bs != 1) {
      join_leading(node, block, writable);
      continue;
    }
    Fold fold = as == 1 ? Fold{y, block.b_begin, block.b_end, Ports::axis(x, block.a_begin), true}
                        : Fold{x, block.a_begin, block.a_end, Ports::axis(y, block.b_begin), false};
    bool all_writable = true;
    for (int64_t k = block.b_begin; k < block.b_end; ++k) {
      if (y->dims[k] > 1) all_writable = all_writable && writable(k);
    }
    const std::vector<int64_t> factors = factors_of(fold);
    if (!all_writable || factors.empty()) continue;
    if (factors.size() == 1) {  // the others have one element
      node.same(Ports::axis(fold.many, factors[0]), fold.one);
      continue;
    }
    options = std::max(options, factors.size());
    splits = splits || fold.splits;
    folds.push_back(fold);
  }
  if (folds.empty()) return;
  const size_t option = node.choose(options, splits);
  std::vector<AxisId> watched;
  for (const Fold& fold : folds) {
    join_fold(node, fold, option, factors_of(fold));
    watched.push_back(fold.one);
  }
  node.watch(watched);
}

void join_reshape(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y) return;
  const bool zero_copies = node.node().get_int("allowzero", 0) == 0;
  const auto target = node.ints(1, "shape");
  const auto element = [&](int64_t k) -> std::optional<int64_t> {
    if (target && k < static_cast<int64_t>(target->size())) return (*target)[k];
    return std::nullopt;
  };
  join_view(
      node, [&](int64_t k) { return zero_copies && element(k) == std::optional<int64_t>(0); },
      [&](int64_t k) { return element(k).has_value() || node.follows(1, k, Ports::axis(y, k)); });
}

void cut_reshape(CutNode& node) {
  node.set_shape(1);
}

void join_flatten(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || y->rank() != 2) return;
  int64_t axis = node.node().get_int("axis", 1);
  if (axis < 0) axis += x->rank();
  join_view(node, [&](int64_t k) { return axis == 1 && k == 0; }, [](int64_t) { return true; });
}

void join_transpose(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  if (!x || !y || x->rank() != y->rank()) return;
  const std::vector<int64_t> order = node.node().get_ints("perm");
  for (int64_t k = 0; k < y->rank(); ++k) {
    const int64_t from =
        order.empty() ? x->rank() - 1 - k : (k < static_cast<int64_t>(order.size()) ? order[k] : x->rank());
    node.same(Ports::axis(x, from), Ports::axis(y, k));
  }
}

// Channel c of the output is c, c + C, ... of the input (DCR), or a run (CRD).
void join_depth_to_space(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  const int64_t made = Ports::dim(y, 1), read = Ports::dim(x, 1);
  if (made < 1 || read < 1 || read % made != 0) return;
  const int64_t run = read / made;
  const bool runs = node.node().get_string("mode", "DCR") == "CRD";
  node.same(Ports::axis(x, 0), Ports::axis(y, 0));
  node.link(Ports::axis(y, 1), Ports::axis(x, 1), [=](int64_t j) { return runs ? j / run : j % made; });
}

void join_space_to_depth(Ports& node) {
  const ChannelValue *x = node.in(0), *y = node.out(0);
  const int64_t read = Ports::dim(x, 1);
  if (read < 1) return;
  node.same(Ports::axis(x, 0), Ports::axis(y, 0));
  node.link(Ports::axis(x, 1), Ports::axis(y, 1), [=](int64_t j) { return j % read; });
}

// What is asked of a shape stands in constants by now; what is left are dims that nobody cuts.
void join_shape(Ports& node) {
  const ChannelValue* x = node.in(0);
  for (int64_t k = 0; x && k < x->rank(); ++k) node.leave(Ports::axis(x, k));
}

}  // namespace

std::vector<ChannelRule> view_channel_rules() {
  return {{"Reshape", join_reshape, cut_reshape}, {"Flatten", join_flatten},
          {"Transpose", join_transpose},          {"DepthToSpace", join_depth_to_space},
          {"SpaceToDepth", join_space_to_depth},  {"Shape", join_shape}};
}

}  // namespace mc
