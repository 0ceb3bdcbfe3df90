#include "mc/prune/structure.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"

namespace mc {
namespace {

using ::testing::HasSubstr;

at::Tensor mask_of(std::initializer_list<int> bits, at::IntArrayRef shape) {
  return at::tensor(std::vector<int>(bits)).view(shape).to(at::kBool);
}

void expect_refused(const Structure& structure, at::IntArrayRef shape, const char* part,
                    const WeightAxes& axes = {}) {
  try {
    keep_mask({at::ones(shape), true}, 0.5, structure, axes);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(Unstructured, TakesTheSmallestAndLeavesOne) {
  const at::Tensor weight = at::tensor({0.5F, -0.1F, 0.3F, -0.9F, 0.2F, 0.0F, 0.7F, -0.4F}).view({2, 4});
  EXPECT_TRUE(
      at::equal(keep_mask({weight, true}, 0.5, Unstructured{}), mask_of({1, 0, 0, 1, 0, 0, 1, 1}, {2, 4})));
  EXPECT_EQ(keep_mask({weight, true}, 0.99, Unstructured{}).sum().item<int64_t>(), 1);
  EXPECT_EQ(keep_mask({weight, true}, 1.0, Unstructured{}).sum().item<int64_t>(), 0);
  EXPECT_EQ(keep_mask({weight, true}, 0.0, Unstructured{}).sum().item<int64_t>(), 8);
}

TEST(Unstructured, SharedThresholdCountsOverAllWeights) {
  const at::Tensor base = at::arange(1, 7).to(at::kFloat).view({2, 3});
  at::Tensor second = base * 0.5;
  second[1][2] = 3.25F;
  const auto keep = keep_masks({{base, true}, {second, true}, {base * 2, true}}, 0.5, Unstructured{},
                               std::vector<WeightAxes>(3));
  EXPECT_EQ(keep[0].sum().item<int64_t>(), 3);
  EXPECT_EQ(keep[1].sum().item<int64_t>(), 1);
  EXPECT_EQ(keep[2].sum().item<int64_t>(), 5);
}

TEST(Uniform, EachGroupLosesTheSame) {
  const at::Tensor weight =
      at::tensor({5.F, -1.F, 8.F, 3.F, 4.F, -2.F, 9.F, 6.F, 1.F, 2.F, 3.F, 4.F, -7.F, 8.F, 0.F, 6.F})
          .view({2, 8});
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.5, Uniform{4}),
                        mask_of({1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0}, {2, 8})));
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.75, Uniform{4}),
                        mask_of({0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0}, {2, 8})));
  // A group of one has nothing to lose; large groups are counted by another way.
  EXPECT_TRUE(keep_mask({weight, true}, 0.9, Uniform{1}).all().item<bool>());
  at::manual_seed(1);
  const at::Tensor wide = at::randn({6, 100});
  const at::Tensor keep = keep_mask({wide, true}, 0.3, Uniform{50});
  const at::Tensor rows = wide.abs().view({12, 50});
  EXPECT_TRUE(at::equal(keep.view({12, 50}), rows.gt(std::get<0>(rows.kthvalue(15, 1)).unsqueeze(1))));
}

TEST(Uniform, WhatIsLeftOverIsASmallerGroup) {
  const at::Tensor weight = at::tensor({4.F, 1.F, 2.F, 3.F, 2.F, 1.F}).view({2, 3});
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.5, Uniform{4}), mask_of({1, 0, 0, 1, 1, 0}, {2, 3})));
}

TEST(Blocks, DimsAreInputsThenOutputs) {
  at::Tensor weight = at::ones({4, 6});
  weight[0][1] = 5;
  weight[1][4] = -2;
  weight[2][5] = -3;
  const at::Tensor wanted =
      mask_of({1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1}, {4, 6});
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.5, Blocks{{3, 2}, "max"}), wanted));
  // The same weight as ONNX's MatMul has it.
  EXPECT_TRUE(
      at::equal(keep_mask({weight.t().contiguous(), true}, 0.5, Blocks{{3, 2}, "max"}, {1, 0}), wanted.t()));
}

TEST(Blocks, MeansAgreeWithPooling) {
  at::manual_seed(2);
  const at::Tensor weight = at::randn({12, 20});
  const at::Tensor pooled = at::avg_pool2d(weight.abs().unsqueeze(0), {3, 5}).squeeze(0);
  const at::Tensor kept = pooled.gt(std::get<0>(pooled.flatten().kthvalue(8)));
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.5, Blocks{{5, 3}, "avg"}),
                        kept.repeat_interleave(3, 0).repeat_interleave(5, 1)));
}

TEST(Blocks, OneNumberIsSquareAndTheLastBlockSmaller) {
  at::Tensor weight = at::ones({3, 5});
  weight[2][4] = 10;  // a block of its own, the largest mean
  const at::Tensor keep = keep_mask({weight, true}, 5.0 / 6, Blocks{{2}, "avg"});
  EXPECT_EQ(keep.sum().item<int64_t>(), 1);
  EXPECT_TRUE(keep[2][4].item<bool>());
}

TEST(Blocks, EachPositionOfAKernelByItselfUnlessNamed) {
  at::manual_seed(3);
  const at::Tensor weight = at::randn({8, 4, 3, 3});
  const at::Tensor keep = keep_mask({weight, true}, 0.75, Blocks{{4, 1}, "avg"});
  const at::Tensor pooled = weight.abs().mean(1);
  EXPECT_TRUE(
      at::equal(keep, pooled.gt(std::get<0>(pooled.flatten().kthvalue(54))).unsqueeze(1).expand_as(weight)));
  // Whole kernels.
  const at::Tensor kernels = keep_mask({weight, true}, 0.5, Blocks{{1, 1, 3, 3}, "max"});
  EXPECT_EQ(kernels.flatten(2).any(2).sum().item<int64_t>(), 16);
  EXPECT_EQ(kernels.sum().item<int64_t>(), 16 * 9);
}

TEST(NToM, AlongTheInputChannels) {
  const at::Tensor weight = at::tensor({1.F, -4.F, 3.F, 2.F, 5.F, 6.F, 7.F, 8.F}).view({1, 8});
  const at::Tensor wanted = mask_of({0, 1, 1, 0, 0, 0, 1, 1}, {1, 8});
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.5, NToM{2, 4}), wanted));
  EXPECT_TRUE(at::equal(keep_mask({weight.t().contiguous(), true}, 0.5, NToM{2, 4}, {1, 0}), wanted.t()));
  EXPECT_TRUE(
      at::equal(keep_mask({weight, true}, 0.75, NToM{1, 4}), mask_of({0, 1, 0, 0, 0, 0, 0, 1}, {1, 8})));
  // On the way to the full sparsity.
  EXPECT_EQ(keep_mask({weight, true}, 0.25, NToM{2, 4}).sum().item<int64_t>(), 6);
}

TEST(NToM, PerKernelPositionInEveryLayout) {
  at::manual_seed(4);
  const at::Tensor weight = at::randn({6, 16, 3, 3});
  const at::Tensor groups = weight.abs().view({6, 2, 8, 3, 3});
  const at::Tensor wanted = groups.gt(std::get<0>(groups.kthvalue(4, 2, true))).view_as(weight);
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.5, NToM{4, 8}), wanted));
  const at::Tensor last = weight.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor keep = keep_mask({last, true}, 0.5, NToM{4, 8});
  EXPECT_TRUE(at::equal(keep, wanted));
  EXPECT_EQ(keep.strides(), last.strides());
}

TEST(NToM, TheGroupLeftOverIsFilledUpWithZeros) {
  // Of two left over both stay, of three the two largest.
  const at::Tensor two = at::tensor({1.F, 2.F, 3.F, 4.F, 5.F, 6.F}).view({1, 6});
  EXPECT_TRUE(at::equal(keep_mask({two, true}, 0.5, NToM{2, 4}), mask_of({0, 0, 1, 1, 1, 1}, {1, 6})));
  const at::Tensor three = at::tensor({4.F, 3.F, 2.F, 1.F, 7.F, 8.F, 9.F}).view({1, 7});
  EXPECT_TRUE(at::equal(keep_mask({three, true}, 0.5, NToM{2, 4}), mask_of({1, 1, 0, 0, 0, 1, 1}, {1, 7})));
}

TEST(Nonzero, LocksThePattern) {
  const at::Tensor weight = at::tensor({0.F, 1.F, -2.F, 0.F}).view({2, 2});
  EXPECT_TRUE(at::equal(keep_mask({weight, true}, 0.9, Nonzero{}), mask_of({0, 1, 1, 0}, {2, 2})));
}

TEST(WeightAxes, FollowTheMeaningOfALayout) {
  const auto axes = [](at::IntArrayRef shape, ParameterKind kind, int64_t channel_axis) {
    const WeightAxes found = weight_axes({"w", at::empty(shape), kind, channel_axis});
    return std::pair(found.output, found.input);
  };
  EXPECT_EQ(axes({8, 4, 3, 3}, ParameterKind::kConv, 0), std::pair(int64_t{0}, int64_t{1}));
  EXPECT_EQ(axes({8, 4, 3, 3}, ParameterKind::kConv, 1), std::pair(int64_t{1}, int64_t{0}));
  EXPECT_EQ(axes({8, 4}, ParameterKind::kLinear, 0), std::pair(int64_t{0}, int64_t{1}));
  EXPECT_EQ(axes({8, 4}, ParameterKind::kLinear, 1), std::pair(int64_t{1}, int64_t{0}));
  EXPECT_EQ(axes({2, 16, 4}, ParameterKind::kRecurrent, 1), std::pair(int64_t{1}, int64_t{2}));
  EXPECT_EQ(axes({100, 16}, ParameterKind::kEmbedding, 1), std::pair(int64_t{0}, int64_t{1}));
}

TEST(Structures, RefuseWhatAShapeCannotHave) {
  expect_refused(NToM{2, 4}, {8, 3, 3, 3}, "at least 4 input channels, the weight [8,3,3,3] has 3");
  expect_refused(NToM{4, 4}, {8, 8}, "not 4 of 4");
  expect_refused(NToM{0, 4}, {8, 8}, "not 0 of 4");
  expect_refused(NToM{2, 4}, {8}, "input channels", {0, 0});
  expect_refused(Blocks{{2, 2, 2}, "avg"}, {8, 8}, "name 3 axes");
  expect_refused(Blocks{{2, 0}, "avg"}, {8, 8}, "at least 1");
  expect_refused(Blocks{{2}, "median"}, {8, 8}, "median");
  expect_refused(Uniform{0}, {8, 8}, "block_size");
  EXPECT_THROW(keep_mask({at::ones({4, 4})}, 1.5, Unstructured{}), Error);
  EXPECT_THROW(keep_mask({at::ones({4, 4})}, -0.5, Unstructured{}), Error);
  EXPECT_THROW(keep_mask({at::ones({4, 4}, at::kLong)}, 0.5, Unstructured{}), Error);
  at::Tensor bad = at::ones({8, 8});
  bad[3][3] = NAN;
  for (const Structure& structure : std::vector<Structure>{Unstructured{}, Uniform{4}, Blocks{{2}, "max"},
                                                           Blocks{{2}, "avg"}, NToM{2, 4}, Nonzero{}})
    EXPECT_THROW(keep_mask({bad, true}, 0.5, structure), Error);
}

}  // namespace
}  // namespace mc
