#include "mc/prune/select.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

// By sorting, with ties in the order of memory.
std::vector<bool> sorted_mask(const std::vector<float>& scores, int64_t drop) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<bool> keep(scores.size(), false);
  for (size_t i = 0; i + static_cast<size_t>(drop) < order.size(); ++i) keep[order[i]] = true;
  return keep;
}

std::vector<float> flat_scores(const Selection& selection) {
  std::vector<float> all;
  for (const ScoreTensor& score : selection.scores) {
    const at::Tensor values = (score.absolute ? score.values.abs() : score.values).contiguous();
    all.insert(all.end(), values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel());
  }
  return all;
}

void expect_like_sorting(Selection selection) {
  std::vector<Selection> selections = {std::move(selection)};
  select_largest(selections);
  const Selection& done = selections[0];
  const std::vector<float> all = flat_scores(done);
  const std::vector<bool> wanted = sorted_mask(all, done.drop);
  std::vector<bool> found;
  float largest_dropped = -INFINITY;
  for (size_t i = 0; i < done.keep.size(); ++i) {
    const at::Tensor keep = done.keep[i].contiguous();
    for (int64_t j = 0; j < keep.numel(); ++j) found.push_back(keep.const_data_ptr<bool>()[j]);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (!found[i]) largest_dropped = std::max(largest_dropped, all[i]);
  }
  EXPECT_TRUE(found == wanted) << "drop " << done.drop << " of " << all.size();
  if (done.drop > 0) {
    EXPECT_EQ(done.threshold, largest_dropped);
  }
}

TEST(SelectLargest, AgreesWithSortingAtEverySize) {
  at::manual_seed(1);
  for (const int64_t size : {1, 2, 63, 64, 65, 1000, 4096, 4097, 33001}) {
    for (const double part : {0.0, 0.001, 0.3, 0.5, 0.9, 0.999, 1.0}) {
      const auto drop = static_cast<int64_t>(std::llround(part * static_cast<double>(size)));
      expect_like_sorting({.scores = {{at::randn({size}), true}}, .drop = drop});
      expect_like_sorting({.scores = {{at::randn({size}), false}}, .drop = drop});
    }
  }
}

TEST(SelectLargest, CountsExactlyWhereManyAreEqual) {
  at::manual_seed(2);
  const at::Tensor levels = at::randint(-3, 4, {20000}).to(at::kFloat);
  const at::Tensor mostly_zero = at::randn({20000}) * at::rand({20000}).gt(0.8);
  const at::Tensor constant = at::full({20000}, 0.25F);
  for (const int64_t drop : {0, 1, 7000, 15990, 16100, 19999, 20000}) {
    for (const at::Tensor& values : {levels, mostly_zero, constant}) {
      expect_like_sorting({.scores = {{values, true}}, .drop = drop});
      expect_like_sorting({.scores = {{values, false}}, .drop = drop});
    }
  }
}

TEST(SelectLargest, FindsItsThresholdWhereASampleMisleads) {
  at::manual_seed(3);
  // One stretch in which all large scores stand, and a sorted tensor.
  at::Tensor clustered = at::rand({200000}) * 1e-3;
  clustered.slice(0, 70000, 70500).add_(1);
  expect_like_sorting({.scores = {{clustered, false}}, .drop = 199600});
  expect_like_sorting({.scores = {{clustered, false}}, .drop = 199500});
  expect_like_sorting({.scores = {{at::arange(200000).to(at::kFloat), false}}, .drop = 123456});
}

TEST(SelectLargest, TakesSeveralTensorsAsOne) {
  at::manual_seed(4);
  Selection selection;
  for (const int64_t size : {10, 10000, 0, 333, 30000})
    selection.scores.push_back({at::randn({size}) * (1.0 + static_cast<double>(size) / 1e5), true});
  for (const int64_t drop : {1, 25000, 40342}) {
    selection.drop = drop;
    expect_like_sorting(selection);
  }
}

TEST(SelectLargest, MasksAreLaidOutAsTheScores) {
  at::manual_seed(5);
  const at::Tensor scores = at::randn({8, 6, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<Selection> selections = {{.scores = {{scores, true}}, .drop = 216}};
  select_largest(selections);
  const at::Tensor keep = selections[0].keep[0];
  EXPECT_EQ(keep.strides(), scores.strides());
  const at::Tensor order = std::get<0>(scores.abs().flatten().sort());
  EXPECT_TRUE(at::equal(keep, scores.abs().gt(order[215])));
}

TEST(SelectLargest, OtherTypesAndViewsGoByATen) {
  at::manual_seed(6);
  const at::Tensor wide = at::randn({40, 50}, at::kDouble);
  std::vector<Selection> selections = {
      {.scores = {{wide, true}}, .drop = 1500},
      {.scores = {{at::randn({50, 40}).t().slice(1, 0, 30), true}}, .drop = 600}};
  select_largest(selections);
  EXPECT_TRUE(
      at::equal(selections[0].keep[0], wide.abs().gt(std::get<0>(wide.abs().flatten().kthvalue(1500)))));
  EXPECT_EQ(selections[1].keep[0].sum().item<int64_t>(), 40 * 30 - 600);
}

TEST(SelectLargest, NamesTheTensorThatHoldsNaN) {
  at::Tensor good = at::randn({100000}), bad = at::randn({100000});
  for (const float value : {NAN, INFINITY, -INFINITY}) {
    bad[99999] = value;
    for (const bool absolute : {true, false}) {
      std::vector<Selection> selections = {
          {.scores = {{good, absolute}, {bad, absolute}}, .drop = 100, .names = {"good", "conv.weight"}}};
      try {
        select_largest(selections);
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("conv.weight"));
      }
    }
  }
}

TEST(SelectLargest, AgreesWithTopkAtEverySparsityOfAPrunedTensor) {
  at::manual_seed(7);
  // Half of the scores are zero already; the others are all different.
  at::Tensor values = at::randn({300, 200});
  values.mul_(at::rand({300, 200}).gt(0.5));
  for (int percent = 50; percent < 100; ++percent) {
    const int64_t stay = values.numel() * (100 - percent) / 100;
    std::vector<Selection> selections = {{.scores = {{values, true}}, .drop = values.numel() - stay}};
    select_largest(selections);
    const at::Tensor wanted = std::get<0>(values.abs().flatten().topk(stay));
    const at::Tensor kept = values.masked_select(selections[0].keep[0]).abs();
    EXPECT_TRUE(at::equal(std::get<0>(kept.sort(/*dim=*/0, /*descending=*/true)), wanted)) << percent;
  }
}

TEST(SelectLargest, WritesMasksOfAnEarlierTimeAnewAndHoldsValues) {
  at::manual_seed(8);
  const at::Tensor first = at::randn({100, 333}), second = at::randn({8, 6, 3, 3});
  const at::Tensor last = second.contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<Selection> selections = {{.scores = {{first, true}}, .drop = 10000},
                                       {.scores = {{last, true}}, .drop = 100}};
  select_largest(selections);
  const at::Tensor keep = selections[0].keep[0], before = keep.clone();
  const int64_t version = keep._version();
  // More go, out of what has moved; the weights are the scores.
  at::Tensor weights = first.clone(), weights_last = last.clone();
  const at::Tensor wanted = first.abs().gt(std::get<0>(first.abs().flatten().kthvalue(30000)));
  selections[0].scores = {{weights, true}};
  selections[0].hold = {weights};
  selections[0].drop = 30000;
  selections[1].scores = {{weights_last, true}};
  selections[1].hold = {weights_last};
  selections[1].keep = {at::ones({8, 6, 3, 3}, at::kBool)};  // laid out otherwise: replaced
  select_largest(selections);
  EXPECT_TRUE(selections[0].keep[0].is_same(keep)) << "the memory of the mask is used again";
  EXPECT_GT(keep._version(), version);
  EXPECT_FALSE(at::equal(keep, before));
  EXPECT_TRUE(at::equal(keep, wanted));
  EXPECT_TRUE(at::equal(weights, first * wanted));
  EXPECT_EQ(selections[1].keep[0].strides(), last.strides());
  EXPECT_TRUE(at::equal(weights_last, last * selections[1].keep[0]));
}

TEST(SelectLargest, HoldsValuesOfAnotherLayoutAndType) {
  at::manual_seed(9);
  const at::Tensor scores = at::randn({50, 70});
  at::Tensor turned = at::randn({70, 50}).t(), wide = at::randn({50, 70}, at::kDouble);
  const at::Tensor turned_before = turned.clone(), wide_before = wide.clone();
  std::vector<Selection> selections = {{.scores = {{scores, true}}, .drop = 1700, .hold = {turned}},
                                       {.scores = {{wide, true}}, .drop = 1700, .hold = {wide}}};
  select_largest(selections);
  EXPECT_TRUE(at::equal(turned, turned_before * selections[0].keep[0]));
  EXPECT_TRUE(at::equal(wide, wide_before * selections[1].keep[0]));
  EXPECT_EQ(wide.eq(0).sum().item<int64_t>(), 1700);
}

TEST(SelectLargest, WritesNothingWhereOneScoreIsNaN) {
  at::manual_seed(10);
  at::Tensor good = at::randn({5000}), bad = at::randn({5000});
  bad[17] = NAN;
  const at::Tensor keep = at::ones({5000}, at::kBool), before = good.clone();
  std::vector<Selection> selections = {
      {.scores = {{good, true}}, .drop = 4000, .keep = {keep}, .hold = {good}},
      {.scores = {{bad, true}}, .drop = 4000}};
  EXPECT_THROW(select_largest(selections), Error);
  EXPECT_TRUE(at::equal(good, before));
  EXPECT_TRUE(keep.all().item<bool>());
}

}  // namespace
}  // namespace mc
