#include "mc/prune/axis_classes.h"

#include <utility>

namespace mc {
namespace {

// What stands of two reasons: a hard one rather than a soft one, else the first.
const FixReason& stronger(const FixReason& a, const FixReason& b) {
  return a.soft && !b.soft ? b : a;
}

}  // namespace

AxisId AxisClasses::add(int64_t size) {
  const auto id = static_cast<AxisId>(axes_.size());
  axes_.push_back({size, id, false, {}, -1, -1});
  return id;
}

AxisId AxisClasses::find_axis(AxisId axis) {
  while (axes_[axis].root != axis) axis = axes_[axis].root = axes_[axes_[axis].root].root;
  return axis;
}

void AxisClasses::fix(AxisId axis, FixReason reason) {
  Axis& root = axes_[find_axis(axis)];
  root.reason = root.fixed ? stronger(root.reason, reason) : reason;
  root.fixed = true;
}

void AxisClasses::inexact(AxisId axis, int32_t what) {
  int32_t& note = axes_[find_axis(axis)].note;
  if (note < 0) note = what;
}

void AxisClasses::same(AxisId a, AxisId b, FixReason reason) {
  a = find_axis(a), b = find_axis(b);
  if (a == b) return;
  if (axes_[a].size != axes_[b].size || axes_[a].size < 0) {
    fix(a, reason);
    fix(b, reason);
    return;
  }
  if (b < a) std::swap(a, b);
  Axis& into = axes_[a];
  const Axis& from = axes_[b];
  if (from.fixed) {
    into.reason = into.fixed ? stronger(into.reason, from.reason) : from.reason;
    into.fixed = true;
  }
  if (into.note < 0) into.note = from.note;
  axes_[b].root = a;
}

void AxisClasses::link(AxisId a, AxisId b, const std::function<int64_t(int64_t)>& source, FixReason reason) {
  const int64_t from = axes_[a].size, size = axes_[b].size;
  if (from < 0 || size < 0 || from > kLongest || size > kLongest || linked_ + size > kMostElements) {
    fix(a, reason);
    fix(b, reason);
    return;
  }
  linked_ += size;
  Link link{a, b, std::vector<int32_t>(static_cast<size_t>(size))};
  for (int64_t i = 0; i < size; ++i) {
    const int64_t j = source(i);
    link.source[i] = j >= 0 && j < from ? static_cast<int32_t>(j) : -1;
  }
  links_.push_back(std::move(link));
}

void AxisClasses::forget_relations() {
  for (size_t i = 0; i < axes_.size(); ++i)
    axes_[i] = {axes_[i].size, static_cast<AxisId>(i), false, {}, -1, -1};
  links_.clear();
  linked_ = 0;
}

int32_t AxisClasses::find(int32_t element) {
  while (parent_[element] != element) element = parent_[element] = parent_[parent_[element]];
  return element;
}

void AxisClasses::join(int32_t a, int32_t b) {
  a = find(a), b = find(b);
  if (a == b) return;
  if (b < a) std::swap(a, b);
  if (fixed_[b]) {
    reasons_[a] = fixed_[a] ? stronger(reasons_[a], reasons_[b]) : reasons_[b];
    fixed_[a] = 1;
  }
  if (notes_[a] < 0) notes_[a] = notes_[b];
  parent_[b] = a;
}

void AxisClasses::solve() {
  int32_t elements = 0;
  for (size_t i = 0; i < axes_.size(); ++i) {
    const AxisId found = find_axis(static_cast<AxisId>(i));
    axes_[i].root = found;
    Axis& root = axes_[found];
    if (root.offset >= 0) continue;
    // One channel, or channels that nobody counts, cannot go.
    if (root.size <= 1 || root.size > kLongest || elements + root.size > kMostElements) root.fixed = true;
    root.offset = elements;
    elements += root.fixed ? 1 : static_cast<int32_t>(root.size);
  }
  parent_.resize(elements);
  for (int32_t i = 0; i < elements; ++i) parent_[i] = i;
  fixed_.assign(elements, 0);
  reasons_.assign(elements, {});
  notes_.assign(elements, -1);
  for (size_t i = 0; i < axes_.size(); ++i) {
    const Axis& axis = axes_[i];
    if (axis.root != static_cast<AxisId>(i)) continue;
    const int64_t size = axis.fixed ? 1 : axis.size;
    for (int64_t k = 0; k < size; ++k) {
      fixed_[axis.offset + k] = axis.fixed;
      reasons_[axis.offset + k] = axis.reason;
      notes_[axis.offset + k] = axis.note;
    }
  }
  for (const Link& link : links_) {
    const Axis& a = axes_[axes_[link.a].root];
    const Axis& b = axes_[axes_[link.b].root];
    if (a.fixed && b.fixed) {
      join(a.offset, b.offset);
      continue;
    }
    for (size_t i = 0; i < link.source.size(); ++i) {
      if (link.source[i] < 0) continue;
      join(a.offset + (a.fixed ? 0 : link.source[i]), b.offset + (b.fixed ? 0 : static_cast<int32_t>(i)));
    }
  }
  for (int32_t i = 0; i < elements; ++i) {
    parent_[i] = parent_[parent_[i]];  // roots have the smallest number, so their parents are flat already
    fixed_[i] = fixed_[parent_[i]];
  }
}

int32_t AxisClasses::element(AxisId axis, int64_t i) const {
  const Axis& root = axes_[axes_[axis].root];
  return parent_[root.offset + (root.fixed ? 0 : static_cast<int32_t>(i))];
}

bool AxisClasses::is_fixed(AxisId axis, int64_t i) const {
  return fixed_[element(axis, i)] != 0;
}

FixReason AxisClasses::reason(AxisId axis, int64_t i) const {
  return reasons_[element(axis, i)];
}

bool AxisClasses::wholly_fixed(AxisId axis) const {
  const Axis& root = axes_[axes_[axis].root];
  if (root.fixed) return true;
  for (int64_t i = 0; i < root.size; ++i) {
    if (!fixed_[parent_[root.offset + static_cast<int32_t>(i)]]) return false;
  }
  return true;
}

}  // namespace mc
