// Which indices of many axes are the same: union-find over whole axes where two axes are equal index by
// index, and over single indices only where they are not (concatenation, reshape), so that most of a network
// costs nothing per channel. Knows no operators.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mc {

using AxisId = int32_t;
inline constexpr AxisId kNoAxis = -1;

// Why an index can go nowhere. A soft reason is a choice that could have been another (which factor of a
// reshape carries the channels); a hard one is the network's.
struct FixReason {
  bool soft = false;
  int32_t what = -1;  // the caller's
};

class AxisClasses {
 public:
  static constexpr int64_t kLongest = 1 << 20;       // longer axes (nobody's channels) are fixed,
  static constexpr int64_t kMostElements = 1 << 25;  // and so are those that come after so many elements

  AxisId add(int64_t size);  // negative: unknown
  int64_t size(AxisId axis) const { return axes_[axis].size; }
  size_t count() const { return axes_.size(); }

  // Index i of a is index i of b. Axes of unequal or unknown size are fixed, both, for `reason`.
  void same(AxisId a, AxisId b, FixReason reason);
  // Index i of b is index source(i) of a; -1: of none. Not called where either axis is too long.
  void link(AxisId a, AxisId b, const std::function<int64_t(int64_t)>& source, FixReason reason);
  void fix(AxisId axis, FixReason reason);
  void inexact(AxisId axis, int32_t what);  // a note on all classes that the axis has a part in

  void forget_relations();  // the axes stay
  void solve();

  // After solve(). Elements are numbered from 0; two indices are the same where their elements are equal.
  bool wholly_fixed(AxisId axis) const;
  bool is_fixed(AxisId axis, int64_t i) const;
  FixReason reason(AxisId axis, int64_t i) const;  // of one that is fixed
  AxisId root(AxisId axis) const { return axes_[axis].root; }
  int32_t element(AxisId axis, int64_t i) const;
  int32_t element_count() const { return static_cast<int32_t>(parent_.size()); }
  int32_t inexact_note(int32_t element) const { return notes_[element]; }  // -1: none

 private:
  struct Axis {
    int64_t size = -1;
    AxisId root = kNoAxis;
    bool fixed = false;  // of roots
    FixReason reason;
    int32_t note = -1;
    int32_t offset = -1;  // of the elements of a root; a fixed axis has one
  };
  struct Link {
    AxisId a, b;
    std::vector<int32_t> source;
  };

  AxisId find_axis(AxisId axis);
  int32_t find(int32_t element);
  void join(int32_t a, int32_t b);

  std::vector<Axis> axes_;
  std::vector<Link> links_;
  int64_t linked_ = 0;           // elements of all links
  std::vector<int32_t> parent_;  // flat after solve()
  std::vector<uint8_t> fixed_;
  std::vector<FixReason> reasons_;
  std::vector<int32_t> notes_;
};

}  // namespace mc
