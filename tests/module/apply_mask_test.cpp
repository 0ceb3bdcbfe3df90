#include "mc/module/apply_mask.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace mc {
namespace {

// Every layout and type that weights have gives what multiplying gives.
TEST(ApplyMasks, EqualsMultiplying) {
  at::manual_seed(5);
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const bool channels_last : {false, true}) {
      for (const bool same_layout : {false, true}) {
        at::Tensor values = at::randn({64, 33, 5, 5}).to(type);
        at::Tensor mask = at::rand(values.sizes()).gt(0.7);
        if (channels_last) values = values.contiguous(at::MemoryFormat::ChannelsLast);
        if (channels_last && same_layout) mask = mask.contiguous(at::MemoryFormat::ChannelsLast);
        const at::Tensor expected = values * mask;
        const uint64_t version = values.unsafeGetTensorImpl()->version_counter().current_version();
        apply_masks({{values, mask}});
        EXPECT_TRUE(values.equal(expected)) << type << ' ' << channels_last << ' ' << same_layout;
        // What was computed from the values before must be seen to be out of date.
        EXPECT_GT(values.unsafeGetTensorImpl()->version_counter().current_version(), version);
      }
    }
  }
}

TEST(ApplyMasks, PrunedNaNBecomesZero) {
  const at::Tensor values = at::full({3}, NAN), mask = at::tensor({1, 0, 1}).to(at::kBool);
  apply_masks({{values, mask}});
  EXPECT_EQ(values[1].item<float>(), 0);
  EXPECT_TRUE(std::isnan(values[0].item<float>()));
}

}  // namespace
}  // namespace mc
