#include <algorithm>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor corner_boxes(int64_t images, int64_t count) {
  const at::Tensor corner = random({images, count, 2}), size = random({images, count, 2}).flip(1).abs() + 0.2;
  return at::cat({corner, corner + size}, 2);
}

// All pairwise overlaps in double; then boxes in order of score, each kept unless a kept one covers it.
std::vector<int64_t> keep_boxes(const at::Tensor& boxes, const at::Tensor& scores, int64_t most,
                                double overlap, double least) {
  const at::Tensor low = boxes.slice(1, 0, 2), high = boxes.slice(1, 2, 4);
  const at::Tensor side =
      (at::minimum(high.unsqueeze(0), high.unsqueeze(1)) - at::maximum(low.unsqueeze(0), low.unsqueeze(1)))
          .clamp_min(0);
  const at::Tensor common = side.prod(2), area = (high - low).prod(1);
  const at::Tensor ratio = common / (area.unsqueeze(0) + area.unsqueeze(1) - common);
  std::vector<int64_t> kept;
  const at::Tensor order = std::get<1>(scores.sort(/*stable=*/true, 0, /*descending=*/true));
  for (int64_t k = 0; k < order.size(0) && static_cast<int64_t>(kept.size()) < most; ++k) {
    const int64_t i = order[k].item<int64_t>();
    if (scores[i].item<double>() <= least) continue;
    if (std::none_of(kept.begin(), kept.end(),
                     [&](int64_t j) { return ratio[i][j].item<double>() > overlap; }))
      kept.push_back(i);
  }
  return kept;
}

TEST(NonMaxSuppression, KeepsWhatAnExhaustiveSearchKeeps) {
  const at::Tensor boxes = corner_boxes(2, 30), scores = random({2, 3, 30});
  const at::Tensor got = run_op1("y = NonMaxSuppression (b, s, m, i, t)",
                                 {boxes, scores, ints({6}), at::tensor({0.3f}), at::tensor({-0.5f})});
  std::vector<int64_t> expected;
  for (int64_t image = 0; image < 2; ++image) {
    for (int64_t label = 0; label < 3; ++label) {
      for (int64_t i : keep_boxes(boxes[image], scores[image][label], 6, 0.3, -0.5))
        expected.insert(expected.end(), {image, label, i});
    }
  }
  ASSERT_GT(expected.size(), 12u);
  expect_close(got, ints(expected).reshape({-1, 3}));
}

TEST(NonMaxSuppression, SameBoxesInEveryFormat) {
  const at::Tensor boxes = corner_boxes(1, 20), scores = random({1, 1, 20});
  const std::vector<at::Tensor> rest = {scores, ints({20}), at::tensor({0.25f})};
  const auto run = [&](const std::string& node, const at::Tensor& given) {
    return run_op1(node, {given, rest[0], rest[1], rest[2]});
  };
  const at::Tensor expected = run("y = NonMaxSuppression (b, s, m, i)", boxes);
  const at::Tensor flipped = boxes.index_select(2, ints({2, 1, 0, 3}));
  expect_close(run("y = NonMaxSuppression (b, s, m, i)", flipped), expected);
  const at::Tensor low = boxes.slice(2, 0, 2), high = boxes.slice(2, 2, 4);
  const at::Tensor centred = at::cat({((low + high) / 2).flip(2), (high - low).flip(2)}, 2);
  expect_close(run("y = NonMaxSuppression <center_point_box = 1> (b, s, m, i)", centred), expected);
}

TEST(NonMaxSuppression, ChoosesNothingUnlessTold) {
  const at::Tensor boxes = corner_boxes(1, 4);
  EXPECT_EQ(run_op1("y = NonMaxSuppression (b, s)", {boxes, random({1, 1, 4})}).sizes(),
            (std::vector<int64_t>{0, 3}));
  const at::Tensor scores = at::tensor({1.f, NAN, 0.5f, 0.5f}).reshape({1, 1, 4});
  const at::Tensor apart = counting({4, 1}) * 10 + at::tensor({0.f, 0.f, 1.f, 1.f});
  expect_close(
      run_op1("y = NonMaxSuppression (b, s, m)", {apart.unsqueeze(0), scores, ints({9})}).select(1, 2),
      ints({0, 2, 3}));
}

TEST(NonMaxSuppression, RefusesBadInput) {
  const at::Tensor boxes = corner_boxes(1, 4), scores = random({1, 2, 4});
  EXPECT_THROW(run_op1("y = NonMaxSuppression (b, s)", {boxes, random({1, 2, 3})}), Error);
  EXPECT_THROW(run_op1("y = NonMaxSuppression (b, s)", {boxes[0], scores}), Error);
  EXPECT_THROW(run_op1("y = NonMaxSuppression (b, s, m)", {boxes, scores, ints({1, 2})}), Error);
  EXPECT_THROW(run_op1("y = NonMaxSuppression (b, s, m, i)", {boxes, scores, ints({1}), at::tensor({1.5f})}),
               Error);
  EXPECT_THROW(run_op1("y = NonMaxSuppression <center_point_box = 2> (b, s)", {boxes, scores}), Error);
}

}  // namespace
}  // namespace mc::testing
