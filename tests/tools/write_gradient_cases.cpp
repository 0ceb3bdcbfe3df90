// Writes the gradient cases for checks in Python, in a folder: NAME.onnx for each, and cases.json with what
// our operators make of it: outputs in float, as an engine computes them, and outputs and gradients in
// double. Each model must be the same after it was written and read.
#include <filesystem>
#include <iostream>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/json.h"
#include "mc/onnx/onnx.h"
#include "tests/ops/gradient_cases.h"

namespace {

using mc::testing::GradientCase;

mc::Json to_json(const at::Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous();
  const double* data = flat.const_data_ptr<double>();
  return {{"dims", flat.sizes().vec()}, {"values", std::vector<double>(data, data + flat.numel())}};
}

mc::Json to_json(const std::vector<at::Tensor>& tensors) {
  mc::Json list = mc::Json::array();
  for (const at::Tensor& tensor : tensors) list.push_back(to_json(tensor));
  return list;
}

mc::Json write_case(const GradientCase& gradient_case, const std::filesystem::path& folder) {
  mc::Model model = mc::testing::case_model(gradient_case);
  mc::infer_shapes(model);
  const std::filesystem::path path = folder / (gradient_case.name() + ".onnx");
  mc::write_onnx(model, path);
  MC_CHECK(mc::read_onnx(path) == model, "the model is another after it was written and read");

  std::vector<at::Tensor> values = mc::testing::case_values(gradient_case), single;
  std::vector<bool> trained;
  for (const auto& input : gradient_case.inputs) {
    if (input.dtype == mc::DType::kFloat) trained.push_back(input.trained);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    single.push_back(values[i].to(at::kFloat));
    values[i] = values[i].clone().set_requires_grad(trained[i]);
  }
  mc::Json result = {{"name", gradient_case.name()},
                     {"training", gradient_case.training},
                     {"trained", trained},
                     {"inputs", to_json(values)}};
  result["float_outputs"] = to_json(mc::testing::run_case(model, gradient_case, single));
  const std::vector<at::Tensor> outputs = mc::testing::run_case(model, gradient_case, values);
  mc::testing::projection(outputs).backward();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& value : values) gradients.push_back(value.grad());
  result["outputs"] = to_json(outputs);
  result["gradients"] = to_json(gradients);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_gradient_cases FOLDER\n";
    return 2;
  }
  mc::Json cases = mc::Json::array();
  int failed = 0;
  for (const GradientCase& gradient_case : mc::testing::gradient_cases()) {
    try {
      cases.push_back(write_case(gradient_case, argv[1]));
    } catch (const std::exception& error) {
      std::cerr << gradient_case.name() << ": " << error.what() << "\n";
      ++failed;
    }
  }
  mc::write_file_atomic(std::filesystem::path(argv[1]) / "cases.json", cases.dump());
  return failed ? 1 : 0;
}
