#include "mc/base/error.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/base/error_of.h"

namespace mc {
namespace {

TEST(Error, GainsContextWhileItUnwinds) {
  std::string message = error_of([] {
    with_context(
        [] { return std::string("model.onnx"); },
        [] { with_context([] { return std::string("node 'a'"); }, [] { fail("got {} dims", 3); }); });
  });
  EXPECT_EQ(message, "model.onnx: node 'a': got 3 dims");
}

TEST(Error, ContextIsMadeOnlyOnFailure) {
  int made = 0;
  int result = with_context(
      [&] {
        ++made;
        return std::string();
      },
      [] { return 42; });
  EXPECT_EQ(result, 42);
  EXPECT_EQ(made, 0);
}

TEST(Error, ChecksFormatTheirMessage) {
  EXPECT_EQ(error_of([] { MC_CHECK(1 + 1 == 3, "{} is not {}", 1 + 1, 3); }), "2 is not 3");
  EXPECT_EQ(error_of([] { MC_CHECK(true, "never"); }), "");
}

TEST(Error, KindsAreExitStatuses) {
  EXPECT_EQ(static_cast<int>(Error("x").kind()), 2);
  EXPECT_EQ(static_cast<int>(Error("x", ErrorKind::kCheck).kind()), 1);
}

}  // namespace
}  // namespace mc
