#include "mc/recipe/prune_view.h"

#include <cmath>

#include <gtest/gtest.h>

#include "mc/graph/graph.h"

namespace mc {
namespace {

// y = `expression` of x, elementwise.
Model one_node(const std::string& expression) {
  return parse_model(
      "<ir_version: 8, opset_import: [\"\" : 18]> net (float[N,64] x) => (float[N,64] y) { y = " +
      expression + " }");
}

double difference(const std::string& a, const std::string& b) {
  const Model model = one_node(a);
  return largest_difference(model, one_node(b), open_model_data(model, "random:8", 0));
}

TEST(LargestDifference, OfFiniteOutputsIsByTheirLargest) {
  EXPECT_EQ(difference("Abs (x)", "Abs (x)"), 0);
  EXPECT_NEAR(difference("Identity (x)", "Neg (x)"), 2, 1e-6);
}

TEST(LargestDifference, WhatIsNoNumberInBothIsAlikeAndInOneIsNot) {
  EXPECT_EQ(difference("Log (x)", "Log (x)"), 0) << "NaN below zero";
  EXPECT_TRUE(std::isinf(difference("Log (x)", "Identity (x)")));
  EXPECT_TRUE(std::isinf(difference("Identity (x)", "Log (x)")));
}

}  // namespace
}  // namespace mc
