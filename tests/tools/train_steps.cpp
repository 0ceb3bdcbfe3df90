// Runs a model on given inputs and trains it by plain gradient descent, for tests that compare it with
// ONNX Runtime and PyTorch:
//   train_steps MODEL.onnx DATA.npz OUT [STEPS RATE]
// DATA.npz holds an array for each input under its name, and one for each output that trains under
// "target:NAME"; the loss is the mean squared error of each of these outputs, added up. OUT gets the outputs
// in eval() as raw bytes (written_K.bin by the graph as written, folded_K.bin by the folded one), the model
// as the module gives it back (kept.onnx) and in its inference form (inference.onnx). JSON on stdout:
// {"outputs": [{"name", "dtype", "dims"}], "parameters": {NAME: elements}, "losses": [...]}.
#include <filesystem>
#include <iostream>
#include <map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/json.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/rewrite/pass.h"
#include "tests/tools/arrays.h"

namespace {

namespace fs = std::filesystem;

std::vector<at::Tensor> inputs_of(const mc::GraphModule& module, const Arrays& arrays) {
  std::vector<at::Tensor> inputs;
  for (const std::string& name : module.input_names()) {
    MC_CHECK(arrays.contains(name), "there is no array '{}'", name);
    inputs.push_back(arrays.at(name));
  }
  return inputs;
}

mc::Json write_outputs(const std::vector<at::Tensor>& outputs, const std::vector<std::string>& names,
                       const fs::path& folder, const std::string& prefix) {
  mc::Json list = mc::Json::array();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const at::Tensor tensor = outputs[i].detach().contiguous();
    mc::write_file_atomic(folder / fmt::format("{}_{}.bin", prefix, i),
                          std::string(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()));
    list.push_back({{"name", names[i]},
                    {"dtype", mc::dtype_name(mc::to_dtype(tensor.scalar_type()))},
                    {"dims", tensor.sizes().vec()}});
  }
  return list;
}

std::vector<double> train(mc::GraphModule& module, const Arrays& arrays, int steps, double rate) {
  module.train();
  const std::vector<at::Tensor> inputs = inputs_of(module, arrays);
  const std::vector<std::string> names = module.output_names();
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const std::vector<at::Tensor> outputs = module.forward(inputs);
    at::Tensor loss = at::zeros({});
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto target = arrays.find("target:" + names[i]);
      if (target != arrays.end()) loss = loss + at::mse_loss(outputs[i], target->second);
    }
    losses.push_back(loss.item<double>());
    loss.backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : module.parameters()) {
      if (!parameter.grad().defined()) continue;
      parameter.sub_(parameter.grad(), rate);
      parameter.mutable_grad().reset();
    }
  }
  return losses;
}

void run(const fs::path& file, const fs::path& data, const fs::path& out, int steps, double rate) {
  const Arrays arrays = read_arrays(data);
  mc::GraphModule module(mc::read_onnx(file));
  module.eval();
  const std::vector<at::Tensor> inputs = inputs_of(module, arrays);
  mc::Json result;
  result["outputs"] = write_outputs(module.forward(inputs), module.output_names(), out, "written");
  {
    const at::NoGradGuard no_grad;
    module.forward(inputs);  // the folded plan is made for the second
    write_outputs(module.forward(inputs), module.output_names(), out, "folded");
  }
  mc::write_onnx(module.graph(), out / "kept.onnx");
  mc::Model inference = module.graph();
  mc::apply_passes(inference, mc::inference_passes());
  mc::write_onnx(inference, out / "inference.onnx");
  result["parameters"] = mc::Json::object();
  for (const std::string& name : module.names(mc::Role::kWeight)) {
    result["parameters"][name] = module.tensor(name).numel();
  }
  result["losses"] = steps > 0 ? train(module, arrays, steps, rate) : std::vector<double>();
  std::cout << result.dump() << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) {
    std::cerr << "usage: train_steps MODEL.onnx DATA.npz OUT [STEPS RATE]\n";
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3], argc > 4 ? std::stoi(argv[4]) : 0, argc > 4 ? std::stod(argv[5]) : 0);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
