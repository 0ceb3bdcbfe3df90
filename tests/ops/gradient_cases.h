// One description of each differentiable operator: a node (or a few) in ONNX's text form and its inputs. From
// it come the check of gradients against finite differences (gradient_test.cpp) and, through the program
// write_gradient_cases, the checks against PyTorch and ONNX Runtime (tests/python/test_gradients.py).
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/ops/op.h"

namespace mc::testing {

struct CaseInput {
  std::vector<int64_t> dims;
  double low = -1, high = 1;  // of evenly spread values in a shuffled order: no two alike, none on a kink
  bool trained = false;       // gradients are checked; else the value is a constant
  std::vector<double> values = {};  // instead of the range
  DType dtype = DType::kFloat;      // a constant of integers is an initializer
};

CaseInput real(std::vector<int64_t> dims, double low = -1, double high = 1);  // trained
CaseInput held(std::vector<int64_t> dims, double low = -1, double high = 1);  // floating, not trained
CaseInput numbers(std::vector<double> values, std::vector<int64_t> dims, DType dtype = DType::kInt64);
CaseInput list(std::vector<double> values);  // int64 [as many]
CaseInput flags(std::vector<double> values, std::vector<int64_t> dims);

struct GradientCase {
  std::string text;               // "y = Relu (x)"; outputs of the last node are the model's
  std::vector<CaseInput> inputs;  // for the names that the text reads and does not make, in order
  int64_t opset = 21;
  bool training = false;
  std::string name() const;  // "Relu_21" by the first node; with a number behind where several are alike
  int number = 0;
};

void PrintTo(const GradientCase& gradient_case, std::ostream* stream);  // for GoogleTest

const std::vector<GradientCase>& gradient_cases();
// Entries of the operator table that are differentiable and have no case, with the reason.
const std::map<std::string, std::string>& gradient_exceptions();
std::string entry_key(const Op& op);  // "domain.Name-since"

// The case as a model whose floating inputs are graph inputs; the rest are initializers.
Model case_model(const GradientCase& gradient_case);
// Values of the graph's inputs, double; each is a float exactly.
std::vector<at::Tensor> case_values(const GradientCase& gradient_case);
// Runs the model on inputs of any floating type; the outputs in order.
std::vector<at::Tensor> run_case(const Model& model, const GradientCase& gradient_case,
                                 const std::vector<at::Tensor>& inputs);
// The sum of all floating outputs that depend on what is trained, each times fixed weights.
at::Tensor projection(const std::vector<at::Tensor>& outputs);

// The parts of gradient_cases(), by families.
std::vector<GradientCase> elementwise_gradient_cases();
std::vector<GradientCase> layer_gradient_cases();
std::vector<GradientCase> shape_gradient_cases();
std::vector<GradientCase> control_gradient_cases();
std::vector<GradientCase> signal_gradient_cases();
std::vector<GradientCase> contrib_gradient_cases();

}  // namespace mc::testing
