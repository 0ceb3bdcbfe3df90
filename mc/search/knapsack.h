// One of several ways for each of several things, so that what they cost together stays within a budget and
// what they lose together is least: the multiple-choice knapsack problem.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mc {

struct KnapsackItem {
  double cost = 0;
  double loss = 0;
};

// The place of the chosen item in each group, none of which may be empty. Solved exactly by dynamic
// programming (Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, section 11.5) over what is left of
// the budget beyond the cheapest items, cut into `steps`; costs are rounded up to whole steps, so that the
// budget holds, and a choice within a step a group of it may be missed. Nothing where even the cheapest items
// cost more than the budget. Throws Error for costs or losses that are not finite.
std::optional<std::vector<size_t>> choose_within(const std::vector<std::vector<KnapsackItem>>& groups,
                                                 double budget, int64_t steps = 20000);

}  // namespace mc
