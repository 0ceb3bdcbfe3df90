#include "mc/search/knapsack.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mc/base/error.h"

namespace mc {
namespace {

double least_cost(const std::vector<KnapsackItem>& group) {
  MC_CHECK(!group.empty(), "knapsack: a group has no item");
  for (const KnapsackItem& item : group) {
    MC_CHECK(std::isfinite(item.cost) && std::isfinite(item.loss),
             "knapsack: a cost or a loss is not finite");
  }
  return std::ranges::min(group, {}, &KnapsackItem::cost).cost;
}

}  // namespace

std::optional<std::vector<size_t>> choose_within(const std::vector<std::vector<KnapsackItem>>& groups,
                                                 double budget, int64_t steps) {
  std::vector<double> least;
  double left = budget;
  for (const auto& group : groups) {
    least.push_back(least_cost(group));
    left -= least.back();
  }
  if (left < 0) return std::nullopt;
  const double step = left / static_cast<double>(steps);
  const auto extra = [&](size_t group, const KnapsackItem& item) {
    const double more = item.cost - least[group];
    if (more <= 0) return int64_t{0};
    if (more > left) return steps + 1;
    return static_cast<int64_t>(std::ceil(more / step * (1 - 1e-12)));
  };

  constexpr double kNever = std::numeric_limits<double>::infinity();
  // Least loss of the groups so far by steps spent, and the item of each group that gave it.
  std::vector<double> loss(static_cast<size_t>(steps) + 1, 0.0);
  std::vector<std::vector<size_t>> taken;
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<double> next(loss.size(), kNever);
    std::vector<size_t> item(loss.size(), 0);
    for (size_t i = 0; i < groups[g].size(); ++i) {
      const int64_t cost = extra(g, groups[g][i]);
      for (int64_t spent = cost; spent <= steps; ++spent) {
        const double total = loss[static_cast<size_t>(spent - cost)] + groups[g][i].loss;
        if (total >= next[static_cast<size_t>(spent)]) continue;
        next[static_cast<size_t>(spent)] = total;
        item[static_cast<size_t>(spent)] = i;
      }
    }
    loss = std::move(next);
    taken.push_back(std::move(item));
  }

  std::vector<size_t> chosen(groups.size());
  auto spent = static_cast<size_t>(steps);
  for (size_t g = groups.size(); g-- > 0;) {
    chosen[g] = taken[g][spent];
    spent -= static_cast<size_t>(extra(g, groups[g][chosen[g]]));
  }
  return chosen;
}

}  // namespace mc
