// Runs ONNX backend-test folders (model.onnx, test_data_set_K/input_I.pb and output_I.pb, data.json with rtol
// and atol) through the operator table, and checks shape inference against what came out. One line a folder:
// "PASS name" or "FAIL name: why".
#include <algorithm>
#include <filesystem>
#include <iostream>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/file.h"
#include "mc/base/json.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/sequence.h"
#include "tests/ops/interpreter.h"

namespace {

namespace fs = std::filesystem;

mc::Slot to_value(const mc::StoredValue& stored) {
  if (stored.kind == mc::Type::Kind::kTensor) return mc::to_slot(stored.tensor);
  if (stored.kind == mc::Type::Kind::kOptional) {
    return stored.elements.empty() ? mc::empty_optional() : to_value(stored.elements[0]);
  }
  std::vector<mc::Slot> elements;
  for (const mc::StoredValue& element : stored.elements) elements.push_back(to_value(element));
  return mc::sequence_slot(std::move(elements));
}

// Values of one data set: PREFIX_0.pb, PREFIX_1.pb ...
std::vector<mc::Slot> read_values(const fs::path& folder, const std::string& prefix,
                                  const std::vector<mc::ValueInfo>& infos) {
  std::vector<mc::Slot> values;
  for (size_t i = 0; i < infos.size(); ++i) {
    const fs::path file = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!fs::exists(file)) break;
    const std::string bytes = mc::read_file(file);
    values.push_back(to_value(mc::parse_value_proto(std::as_bytes(std::span(bytes)), infos[i].type)));
  }
  return values;
}

void compare(const mc::Slot& actual, const mc::Slot& expected, double rtol, double atol) {
  MC_CHECK(actual.defined(), "an output is missing");
  MC_CHECK(mc::is_empty_optional(actual) == mc::is_empty_optional(expected), "one of them is empty");
  MC_CHECK(mc::is_sequence(actual) == mc::is_sequence(expected), "one of them is no sequence");
  if (mc::is_empty_optional(expected)) return;
  if (mc::is_sequence(expected)) {
    const auto &elements = actual.extra->sequence, &wanted = expected.extra->sequence;
    MC_CHECK(elements.size() == wanted.size(), "{} elements, expected {}", elements.size(), wanted.size());
    for (size_t i = 0; i < elements.size(); ++i) compare(elements[i], wanted[i], rtol, atol);
    return;
  }
  MC_CHECK(actual.dtype() == expected.dtype(), "element type {}, expected {}", mc::dtype_name(actual.dtype()),
           mc::dtype_name(expected.dtype()));
  if (expected.dtype() == mc::DType::kString) {
    MC_CHECK(actual.extra->string_dims == expected.extra->string_dims, "another shape of strings");
    MC_CHECK(actual.extra->strings == expected.extra->strings, "other strings");
    return;
  }
  const at::Tensor a = actual.tensor;
  const at::Tensor b = expected.tensor;
  MC_CHECK(a.sizes() == b.sizes(), "shape [{}], expected [{}]", fmt::join(a.sizes(), ","),
           fmt::join(b.sizes(), ","));
  const at::Tensor x = a.to(at::kDouble);
  const at::Tensor y = b.to(at::kDouble);
  MC_CHECK(at::allclose(x, y, rtol, atol, true), "values differ by up to {}",
           x.numel() ? (x - y).abs().max().item<double>() : 0.0);
}

void check_type(const mc::Type& type, const mc::Slot& value) {
  if (type.kind == mc::Type::Kind::kUnknown || !value.defined()) return;
  if (type.kind == mc::Type::Kind::kOptional) {
    if (type.element && !mc::is_empty_optional(value)) check_type(*type.element, value);
    return;
  }
  MC_CHECK(!mc::is_empty_optional(value), "inferred {}, got an empty optional", mc::to_string(type));
  const bool sequence = type.kind == mc::Type::Kind::kSequence;
  MC_CHECK(sequence == mc::is_sequence(value), "inferred {}, got {} sequence", mc::to_string(type),
           sequence ? "no" : "a");
  if (sequence) {
    for (const mc::Slot& element : value.extra->sequence) {
      if (type.element) check_type(*type.element, element);
    }
    return;
  }
  MC_CHECK(type.dtype == mc::DType::kUndefined || type.dtype == value.dtype(), "inferred {}, got {}",
           mc::to_string(type), mc::dtype_name(value.dtype()));
  const std::vector<int64_t> sizes = mc::slot_dims(value);
  bool holds = !type.shape || type.shape->size() == sizes.size();
  for (size_t d = 0; holds && type.shape && d < sizes.size(); ++d) {
    holds = !(*type.shape)[d].known() || (*type.shape)[d].value == sizes[d];
  }
  MC_CHECK(holds, "inferred {}, got [{}]", mc::to_string(type), fmt::join(sizes, ","));
}

// What inference says without the declared types of outputs must hold for what running gave.
void check_inference(mc::Model model, const std::vector<mc::Slot>& outputs) {
  model.graph.value_infos.clear();
  for (mc::ValueInfo& output : model.graph.outputs) output.type = mc::Type();
  mc::infer_shapes(model);
  for (size_t i = 0; i < outputs.size(); ++i) check_type(model.graph.outputs[i].type, outputs[i]);
}

void run_case(const fs::path& folder) {
  double rtol = 1e-3;
  double atol = 1e-7;
  if (fs::exists(folder / "data.json")) {
    const auto tolerances = nlohmann::json::parse(mc::read_file(folder / "data.json"));
    rtol = tolerances.value("rtol", rtol);
    atol = tolerances.value("atol", atol);
  }
  const mc::Model model = mc::read_onnx(folder / "model.onnx");
  mc::RunContext context;
  context.onnx_training_mode = true;
  for (int set = 0; fs::exists(folder / fmt::format("test_data_set_{}", set)); ++set) {
    const fs::path data = folder / fmt::format("test_data_set_{}", set);
    const auto inputs = read_values(data, "input", model.graph.inputs);
    const auto expected = read_values(data, "output", model.graph.outputs);
    const auto outputs = mc::testing::Interpreter(model, context).run(inputs);
    for (size_t i = 0; i < expected.size(); ++i) compare(outputs.at(i), expected[i], rtol, atol);
    check_inference(model, outputs);
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const fs::path root(argv[i]);
    std::vector<fs::path> folders;
    if (fs::exists(root / "model.onnx")) folders.push_back(root);
    for (const auto& entry : fs::directory_iterator(root)) {
      if (fs::exists(entry.path() / "model.onnx")) folders.push_back(entry.path());
    }
    std::sort(folders.begin(), folders.end());
    for (const fs::path& folder : folders) {
      try {
        run_case(folder);
        std::cout << "PASS " << folder.filename().string() << "\n";
      } catch (const std::exception& error) {
        std::string why = error.what();
        why = why.substr(0, why.find('\n'));
        std::cout << "FAIL " << folder.filename().string() << ": " << why << "\n";
      }
    }
  }
  return 0;
}
