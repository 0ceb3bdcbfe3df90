#include "mc/data/write_npz.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/data/dataset.h"
#include "tests/base/temporary_folder.h"

namespace mc {
namespace {

TEST(WriteNpz, ReadsBackEqual) {
  const TemporaryFolder folder;
  at::manual_seed(1);
  const at::Tensor x = at::randn({5, 2, 3}), counts = at::arange(5), flags = at::ones({5, 1}, at::kBool);
  write_npz(folder / "a.npz", {{"x", x.transpose(1, 2)}, {"counts", counts}, {"flags", flags}});
  const auto data = open_npz({folder / "a.npz"}, {"counts", "x", "flags"});
  const Batch batch = all(*data);
  EXPECT_TRUE(at::equal(batch.inputs[0], counts));
  EXPECT_TRUE(at::equal(batch.inputs[1], x.transpose(1, 2)));
  EXPECT_TRUE(at::equal(batch.inputs[2], flags));
}

TEST(WriteNpz, RefusesTypesThatNumPyLacks) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { write_npz(folder / "a.npz", {{"x", at::zeros({2}, at::kComplexFloat)}}); },
              ::testing::ThrowsMessage<Error>(::testing::HasSubstr("x")));
}

}  // namespace
}  // namespace mc
