#include "mc/prune/groups.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace mc {
namespace {

constexpr int64_t kSmallGroup = 32;

// By counting how many are ahead of each.
void keep_of_small(const float* scores, int64_t size, int64_t stay, bool* keep) {
  for (int64_t i = 0; i < size; ++i) {
    int64_t ahead = 0;
    for (int64_t j = 0; j < size; ++j) ahead += scores[j] > scores[i] || (scores[j] == scores[i] && j < i);
    keep[i] = ahead < stay;
  }
}

void keep_of_large(const float* scores, int64_t size, int64_t stay, std::vector<int32_t>& order, bool* keep) {
  order.resize(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  const auto ahead = [&](int32_t a, int32_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  };
  if (stay < size) std::nth_element(order.begin(), order.begin() + stay, order.end(), ahead);
  std::fill(keep, keep + size, false);
  for (int64_t i = 0; i < stay; ++i) keep[order[static_cast<size_t>(i)]] = true;
}

}  // namespace

at::Tensor keep_in_groups(const ScoreTensor& scores, int64_t input_axis, int64_t group, GroupsRun run,
                          const std::function<int64_t(int64_t size)>& stay) {
  const at::Tensor moved = (scores.absolute ? scores.values.abs() : scores.values).movedim(input_axis, -1);
  const at::Tensor rows = moved.to(at::kCPU, at::kFloat).contiguous();
  at::Tensor keep = at::empty(rows.sizes(), at::kBool);
  const int64_t length = run == GroupsRun::kOn ? rows.numel() : rows.size(-1);
  const int64_t per_row = length ? (length + group - 1) / group : 0;
  const int64_t tail = length - (per_row - 1) * group;
  const int64_t stay_of_whole = stay(group), stay_of_tail = tail == group ? stay_of_whole : stay(tail);
  const float* from = rows.const_data_ptr<float>();
  bool* to = keep.mutable_data_ptr<bool>();
  const int64_t groups = length ? rows.numel() / length * per_row : 0;
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(group, 1));
  at::parallel_for(0, groups, grain, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> order;
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = g / per_row * length + g % per_row * group;
      const bool whole = g % per_row + 1 < per_row;
      const int64_t size = whole ? group : tail, left = whole ? stay_of_whole : stay_of_tail;
      if (size <= kSmallGroup) {
        keep_of_small(from + first, size, left, to + first);
      } else {
        keep_of_large(from + first, size, left, order, to + first);
      }
    }
  });
  const auto options = scores.values.options().dtype(at::kBool).requires_grad(false);
  return at::empty_like(scores.values, options).copy_(keep.movedim(-1, input_axis));
}

}  // namespace mc
