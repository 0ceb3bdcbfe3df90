#include "mc/prune/pattern.h"

#include <algorithm>
#include <array>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr double kDenseBelow = 0.001;
// A part of the elements that a pattern lets be nonzero may happen to be zero.
constexpr double kFilled = 0.9;
// Blocks are told from zeros that lie side by side by chance.
constexpr double kBlockFilled = 0.98;

double part(const at::Tensor& flags) {
  return flags.to(at::kFloat).mean().item<double>();
}

// Nonzeros as [outputs, inputs, kernel positions].
at::Tensor nonzeros(const at::Tensor& weight, int64_t output_axis, int64_t input_axis) {
  const at::Tensor moved = weight.detach().movedim({output_axis, input_axis}, {0, 1}).ne(0);
  return moved.dim() == 2 ? moved.unsqueeze(2) : moved.flatten(2);
}

// The largest number of nonzeros among each m successive inputs; whole groups only. 0 where there are none.
int64_t most_of(const at::Tensor& set, int64_t m) {
  const int64_t groups = set.size(1) / m;
  if (groups == 0) return 0;
  const at::Tensor counts = set.slice(1, 0, groups * m).reshape({set.size(0), groups, m, set.size(2)}).sum(2);
  return counts.max().item<int64_t>();
}

// Part of the elements that are set in blocks that hold a set element; 0 where the axes are no whole number
// of blocks.
double filled_part(const at::Tensor& set, int64_t inputs, int64_t outputs) {
  if (set.size(0) % outputs != 0 || set.size(1) % inputs != 0) return 0;
  const at::Tensor blocks =
      set.reshape({set.size(0) / outputs, outputs, set.size(1) / inputs, inputs, set.size(2)});
  const double touched = part(blocks.any(3).any(1));
  return touched > 0 && touched < 1 ? part(set) / touched : 0;
}

bool find_n_to_m(const at::Tensor& set, SparsityPattern& pattern) {
  for (const int64_t m : {4, 8, 16}) {
    const int64_t n = most_of(set, m);
    const double allowed = static_cast<double>(n) / static_cast<double>(m);
    if (n == 0 || n > m / 2 || 1 - pattern.sparsity < kFilled * allowed) continue;
    pattern.kind = SparsityPattern::Kind::kNToM;
    pattern.n = n;
    pattern.m = m;
    return true;
  }
  return false;
}

bool find_block(const at::Tensor& set, SparsityPattern& pattern) {
  constexpr std::array<int64_t, 7> kSizes = {64, 32, 16, 8, 4, 2, 1};
  int64_t best = 1;
  for (const int64_t inputs : kSizes) {
    for (const int64_t outputs : kSizes) {
      if (inputs * outputs <= best || filled_part(set, inputs, outputs) < kBlockFilled) continue;
      best = inputs * outputs;
      pattern.kind = SparsityPattern::Kind::kBlock;
      pattern.n = inputs;
      pattern.m = outputs;
    }
  }
  return best > 1;
}

}  // namespace

std::string pattern_name(const SparsityPattern& pattern) {
  switch (pattern.kind) {
    case SparsityPattern::Kind::kDense:
      return "dense";
    case SparsityPattern::Kind::kUnstructured:
      return "unstructured";
    case SparsityPattern::Kind::kBlock:
      return fmt::format("block {}x{}", pattern.n, pattern.m);
    case SparsityPattern::Kind::kNToM:
      return fmt::format("{}:{}", pattern.n, pattern.m);
    case SparsityPattern::Kind::kChannels:
      return "channels";
  }
  return "";
}

SparsityPattern find_pattern(const at::Tensor& weight, int64_t output_axis, int64_t input_axis) {
  const int64_t rank = weight.dim();
  MC_CHECK(output_axis >= 0 && input_axis >= 0 && output_axis < rank && input_axis < rank &&
               output_axis != input_axis,
           "a weight of {} dims has no axes {} and {}", rank, output_axis, input_axis);
  SparsityPattern pattern;
  if (weight.numel() == 0) return pattern;
  const at::Tensor set = nonzeros(weight, output_axis, input_axis);
  pattern.sparsity = 1 - part(set);
  const at::Tensor alive = set.flatten(1).any(1);
  pattern.zero_channels = alive.logical_not().sum().item<int64_t>();
  if (pattern.sparsity < kDenseBelow) return pattern;
  pattern.kind = SparsityPattern::Kind::kUnstructured;
  if (pattern.zero_channels == alive.numel()) {
    pattern.kind = SparsityPattern::Kind::kChannels;
    return pattern;
  }
  const at::Tensor rest = set.index({alive});
  if (1 - part(rest) < kDenseBelow) {
    pattern.kind = SparsityPattern::Kind::kChannels;
  } else if (!find_block(set, pattern)) {  // first: blocks along the inputs may be N:M too
    find_n_to_m(set, pattern);
  }
  return pattern;
}

}  // namespace mc
