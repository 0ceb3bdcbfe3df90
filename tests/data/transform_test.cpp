#include "mc/data/transform.h"

#include <set>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/data/placement.h"
#include "tests/base/error_of.h"
#include "tests/data/archive.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Pixels 1 to 12 as [1, 1, 3, 4] (or more channels), sample `index`.
Batch counting(int64_t index = 0, int64_t channels = 1) {
  Batch batch;
  batch.inputs = {at::arange(1, 12 * channels + 1, at::kFloat).view({1, channels, 3, 4})};
  batch.indices = {index};
  return batch;
}

at::Tensor image(const std::vector<float>& pixels) {
  return at::tensor(pixels).view({1, 1, 3, 4});
}

at::Tensor rendered(const ImagePlacement& placement) {
  at::Tensor source = at::arange(1, 13, at::kFloat), target = at::empty({1, 1, 3, 4}, at::kFloat);
  render(source.const_data_ptr<float>(), target.data_ptr<float>(), 1, placement,
         [](int64_t, float pixel) { return pixel; });
  return target;
}

TEST(ImagePlacement, MirrorsAndShifts) {
  ImagePlacement flipped(3, 4);
  flipped.flip();
  EXPECT_TRUE(rendered(flipped).equal(image({4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9})));
  ImagePlacement shifted(3, 4);
  shifted.shift(1, -2);
  EXPECT_TRUE(rendered(shifted).equal(image({0, 0, 5, 6, 0, 0, 9, 10, 0, 0, 0, 0})));
}

TEST(ImagePlacement, ComposesInOrder) {
  ImagePlacement both(3, 4);  // mirrored: 4 3 2 1 / ..., then moved left by one
  both.flip();
  both.shift(0, 1);
  EXPECT_TRUE(rendered(both).equal(image({3, 2, 1, 0, 7, 6, 5, 0, 11, 10, 9, 0})));
  ImagePlacement other(3, 4);  // moved left by one: 2 3 4 0 / ..., then mirrored
  other.shift(0, 1);
  other.flip();
  EXPECT_TRUE(rendered(other).equal(image({0, 4, 3, 2, 0, 8, 7, 6, 0, 12, 11, 10})));
}

TEST(ImagePlacement, LosesWhatLeftTheImage) {
  ImagePlacement there_and_back(3, 4);
  there_and_back.shift(0, 2);
  there_and_back.shift(0, -2);
  EXPECT_TRUE(rendered(there_and_back).equal(image({0, 0, 3, 4, 0, 0, 7, 8, 0, 0, 11, 12})));
  ImagePlacement away(3, 4);
  away.shift(10, 10);
  EXPECT_TRUE(rendered(away).equal(at::zeros({1, 1, 3, 4})));
}

TEST(ImagePlacement, CarriesCutsAlong) {
  ImagePlacement cut(3, 4);
  cut.cut({-1, 0, 1, 2});  // columns 0 and 1 of row 0
  EXPECT_TRUE(rendered(cut).equal(image({0, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})));
  cut.flip();
  EXPECT_TRUE(rendered(cut).equal(image({4, 3, 0, 0, 8, 7, 6, 5, 12, 11, 10, 9})));
  cut.shift(-1, 0);
  EXPECT_TRUE(rendered(cut).equal(image({0, 0, 0, 0, 4, 3, 0, 0, 8, 7, 6, 5})));
}

TEST(Transform, Normalizes) {
  Batch batch = counting(0, 2);
  transform(batch, {}, {.mean = {1, 2}, .std = {0.5, 4}}, 0, 0);
  at::Tensor raw = counting(0, 2).inputs[0];
  at::Tensor mean = at::tensor({1.f, 2.f}).view({1, 2, 1, 1}),
             std = at::tensor({0.5f, 4.f}).view({1, 2, 1, 1});
  EXPECT_TRUE(at::allclose(batch.inputs[0], (raw - mean) / std));
  Batch flat;
  flat.inputs = {at::tensor({2.f, 4.f, 6.f, 8.f}).view({2, 2})};
  flat.indices = {0, 1};
  transform(flat, {}, {.mean = {2}, .std = {2}}, 0, 0);
  EXPECT_TRUE(flat.inputs[0].equal(at::tensor({0.f, 1.f, 2.f, 3.f}).view({2, 2})));
}

TEST(Transform, LeavesABatchWithNothingToDoAlone) {
  Batch batch = counting();
  const void* before = batch.inputs[0].data_ptr();
  transform(batch, {}, {}, 0, 0);
  EXPECT_EQ(batch.inputs[0].data_ptr(), before);
}

TEST(Transform, FlipsWithItsProbability) {
  Batch always = counting();
  transform(always, {FlipOptions{1.0}}, {}, 0, 0);
  EXPECT_TRUE(always.inputs[0].equal(counting().inputs[0].flip(3)));
  int flips = 0;
  for (int64_t sample = 0; sample < 1000; ++sample) {
    Batch batch = counting(sample);
    transform(batch, {FlipOptions{}}, {}, 7, 0);
    flips += batch.inputs[0][0][0][0][0].item<float>() == 4;
  }
  EXPECT_NEAR(flips, 500, 63);  // four standard deviations
}

TEST(Transform, PadsWithBlackBeforeNormalizing) {
  // Every crop is one of the 3 x 3 windows of the padded image, and all of them occur.
  const Normalization normalization{.mean = {10}, .std = {2}};
  at::Tensor padded = at::constant_pad_nd(counting().inputs[0], {1, 1, 1, 1});
  std::set<int> seen;
  for (int64_t sample = 0; sample < 200; ++sample) {
    Batch batch = counting(sample);
    transform(batch, {CropOptions{1}}, normalization, 3, 5);
    for (int window = 0; window < 9; ++window) {
      at::Tensor expected =
          (padded.slice(2, window / 3, window / 3 + 3).slice(3, window % 3, window % 3 + 4) - 10) / 2;
      if (batch.inputs[0].equal(expected)) seen.insert(window);
    }
  }
  EXPECT_EQ(seen.size(), 9u);
}

TEST(Transform, CutsSquaresToTheMean) {
  for (int64_t sample = 0; sample < 50; ++sample) {
    Batch batch = counting(sample);
    transform(batch, {CutoutOptions{2}}, {.mean = {100}, .std = {1}}, 3, 5);
    const auto cut = (batch.inputs[0] == 0).sum().item<int64_t>();  // no pixel is 100
    EXPECT_TRUE(cut == 1 || cut == 2 || cut == 4) << cut;           // whole, at an edge, in a corner
    at::Tensor kept = batch.inputs[0] != 0;
    EXPECT_TRUE(batch.inputs[0].masked_select(kept).equal((counting().inputs[0] - 100).masked_select(kept)));
  }
}

TEST(Transform, IsAPureFunctionOfSeedEpochAndSample) {
  const std::vector<Augmentation> augment = {FlipOptions{}, CropOptions{3}, CutoutOptions{1}};
  auto run = [&](uint64_t seed, uint64_t epoch, std::vector<int64_t> indices) {
    Batch batch;
    batch.indices = indices;
    batch.inputs = {counting().inputs[0].repeat({static_cast<int64_t>(indices.size()), 1, 1, 1})};
    transform(batch, augment, {}, seed, epoch);
    return batch.inputs[0];
  };
  at::Tensor three = run(1, 2, {4, 5, 6});
  EXPECT_TRUE(three[1].equal(run(1, 2, {5})[0]));
  EXPECT_TRUE(three.equal(run(1, 2, {4, 5, 6})));
  EXPECT_FALSE(three.equal(run(2, 2, {4, 5, 6})));
  EXPECT_FALSE(three.equal(run(1, 3, {4, 5, 6})));
}

TEST(Transform, AddingAnAugmentationKeepsTheDrawsOfTheOthers) {
  EXPECT_EQ(augmentation_streams({FlipOptions{}, CropOptions{}, FlipOptions{}}),
            (std::vector<std::string>{"flip", "crop", "flip2"}));
  for (uint64_t sample = 0; sample < 20; ++sample) {
    ImagePlacement one = draw_placement({FlipOptions{}}, {"flip"}, 3, 4, 0, 0, sample);
    ImagePlacement two =
        draw_placement({CutoutOptions{1}, FlipOptions{}}, {"cutout", "flip"}, 3, 4, 0, 0, sample);
    EXPECT_EQ(one.step(), two.step());
  }
}

TEST(Transform, GoesFromBytesToTheSameNumbersInOnePass) {
  const auto folder = test_folder();
  write_idx_set(folder, 20, "train");
  auto set = open_idx(folder, "train");
  const std::vector<Augmentation> augment = {FlipOptions{}, CropOptions{1}, CutoutOptions{1}};
  const Normalization normalization{.mean = {0.3}, .std = {0.7}};
  const std::vector<int64_t> indices = {19, 3, 3, 0};
  Batch fast = read_batch(*set, indices, augment, normalization, 5, 6);
  Batch slow = set->get(indices);
  transform(slow, augment, normalization, 5, 6);
  EXPECT_TRUE(fast.inputs[0].equal(slow.inputs[0]));
  EXPECT_TRUE(fast.labels.equal(slow.labels));
  EXPECT_EQ(fast.indices, slow.indices);
  Batch plain = read_batch(*set, indices, {}, {}, 0, 0);
  EXPECT_TRUE(plain.inputs[0].equal(set->get(indices).inputs[0]));
  EXPECT_THAT(error_of([&] { read_batch(*set, std::vector<int64_t>{20}, {}, {}, 0, 0); }),
              HasSubstr("sample 20"));
}

TEST(Transform, RefusesWhatDoesNotFit) {
  Batch batch = counting();
  EXPECT_THAT(error_of([&] { transform(batch, {}, {.mean = {1, 2}}, 0, 0); }),
              AllOf(HasSubstr("mean"), HasSubstr("1 channels")));
  EXPECT_THAT(error_of([&] { transform(batch, {}, {.std = {0}}, 0, 0); }), HasSubstr("std"));
  EXPECT_THAT(error_of([&] { transform(batch, {CropOptions{-1}}, {}, 0, 0); }), HasSubstr("padding"));
  Batch rows;
  rows.inputs = {at::zeros({1, 4})};
  rows.indices = {0};
  EXPECT_THAT(error_of([&] { transform(rows, {FlipOptions{}}, {}, 0, 0); }), HasSubstr("[1, 4]"));
  rows.inputs = {at::zeros({1, 4}, at::kLong)};
  EXPECT_THAT(error_of([&] { transform(rows, {}, {.mean = {1}}, 0, 0); }), HasSubstr("Long"));
}

TEST(Normalization, IsMeasuredByChannel) {
  const std::vector<float> pixels = {1, 3, 5, 5, 2, 6, 5, 5};  // two samples of two channels of two pixels
  const auto path = write(test_folder() / "set.npz", zip({{"x.npy", npy_of("<f4", "(2, 2, 1, 2)", pixels)}}));
  Normalization normalization = measure_normalization(*open_npz({path}), -1);
  EXPECT_THAT(normalization.mean, ::testing::ElementsAre(::testing::DoubleEq(3), ::testing::DoubleEq(5)));
  EXPECT_DOUBLE_EQ(normalization.std[0], std::sqrt(3.5));  // (4 + 0 + 1 + 9) / 4
  EXPECT_DOUBLE_EQ(normalization.std[1], 1);               // constant
}

TEST(Normalization, OfBytesIsThatOfTheirFloats) {
  const auto folder = test_folder();
  write_idx_set(folder, 20, "train");
  auto set = open_idx(folder, "train");
  at::Tensor images = all(*set).inputs[0].to(at::kDouble);
  Normalization normalization = measure_normalization(*set, -1);
  EXPECT_NEAR(normalization.mean.at(0), images.mean().item<double>(), 1e-7);
  EXPECT_NEAR(normalization.std.at(0), images.std(false).item<double>(), 1e-7);
  // Two of twenty: samples 0 and 10.
  Normalization two = measure_normalization(*set, 2);
  EXPECT_NEAR(two.mean.at(0), (2.5 + 102.5) / 2 / 255, 1e-7);
}

}  // namespace
}  // namespace mc
