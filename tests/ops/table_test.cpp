#include <gmock/gmock.h>

#include <set>

#include "tests/ops/op_testing.h"

namespace mc {
namespace {

TEST(OpTable, EveryEntryIsComplete) {
  std::set<std::tuple<std::string, std::string, int64_t>> seen;
  for (const Op& op : all_ops()) {
    EXPECT_TRUE(op.bind) << op.name;
    EXPECT_TRUE(op.infer) << op.name;
    EXPECT_TRUE(seen.emplace(op.domain, op.name, op.since).second) << op.name << " twice since " << op.since;
    EXPECT_GE(op.since, 1) << op.name;
  }
  EXPECT_GT(seen.size(), 100u);
}

TEST(OpTable, FindsTheNewestEntryThatHolds) {
  ASSERT_NE(find_op("", "Add", 7), nullptr);
  EXPECT_EQ(find_op("", "Add", 21), find_op("ai.onnx", "Add", 21));
  EXPECT_EQ(find_op("", "Add", 6), nullptr);  // its broadcasting was another
  EXPECT_EQ(find_op("", "NoSuchOperator", 21), nullptr);
  EXPECT_EQ(find_op("com.acme", "Add", 21), nullptr);
}

TEST(OpTable, RolesOfInputs) {
  EXPECT_EQ(find_op("", "Gather", 21)->role(0), Role::kWeight);
  EXPECT_EQ(find_op("", "Gather", 21)->role(1), Role::kConstant);
  EXPECT_EQ(find_op("", "Add", 21)->role(1), Role::kConstant);
  EXPECT_EQ(find_op("", "Reshape", 21)->role(1), Role::kConstant);
  for (const char* name : {"Identity", "Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Flatten"}) {
    EXPECT_TRUE(find_op("", name, 21)->passes_roles) << name;
  }
  EXPECT_FALSE(find_op("", "Mul", 21)->passes_roles);
  EXPECT_STREQ(role_name(Role::kStatistic), "statistic");
}

TEST(OpTable, NamesUnsupportedOperators) {
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21, "acme" : 3]>
    g (float[2] x, bool c) => (float[2] y) {
      [odd] a = acme.Frobnicate (x)
      y = If (c) <then_branch: graph = t () => (float[2] r) { r = Relu (a) },
                  else_branch: graph = e () => (float[2] s) { s = Sqrtt (a) }>
    })");
  EXPECT_THAT(unsupported_ops(model),
              ::testing::ElementsAre("node 'odd' (acme.Frobnicate-3)", "node 's' (ai.onnx.Sqrtt-21)"));
}

TEST(OpTable, CallsOfModelFunctionsAreSupported) {
  const Model model = parse_model(R"(<ir_version: 10, opset_import: ["" : 21, "f" : 1]>
    g (float[2] x) => (float[2] y) { y = f.twice (x) }
    <domain: "f", opset_import: ["" : 21]> twice (a) => (b) { b = Add (a, a) })");
  EXPECT_THAT(unsupported_ops(model), ::testing::IsEmpty());
}

}  // namespace
}  // namespace mc
