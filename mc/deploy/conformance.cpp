#include "mc/deploy/conformance.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/sequence.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

struct Tolerances {
  double rtol = 1e-3;
  double atol = 1e-7;
};

Tolerances read_tolerances(const fs::path& file) {
  Tolerances tolerances;
  if (!fs::exists(file)) return tolerances;
  const Json json = Json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  MC_CHECK(json.is_object(), "data.json is no JSON object");
  const auto number = [&](const char* key, double otherwise) {
    if (!json.contains(key)) return otherwise;
    MC_CHECK(json[key].is_number(), "data.json: '{}' is no number", key);
    return json[key].get<double>();
  };
  return {number("rtol", tolerances.rtol), number("atol", tolerances.atol)};
}

Slot stored_slot(const StoredValue& stored) {
  if (stored.kind == Type::Kind::kTensor) return to_slot(stored.tensor);
  if (stored.kind == Type::Kind::kOptional) {
    return stored.elements.empty() ? empty_optional() : stored_slot(stored.elements[0]);
  }
  std::vector<Slot> elements;
  for (const StoredValue& element : stored.elements) elements.push_back(stored_slot(element));
  return sequence_slot(std::move(elements));
}

// PREFIX_0.pb, PREFIX_1.pb ... up to the first that is missing.
std::vector<Slot> read_values(const fs::path& folder, const std::string& prefix,
                              const std::vector<ValueInfo>& infos) {
  std::vector<Slot> values;
  for (size_t i = 0; i < infos.size(); ++i) {
    const fs::path file = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!fs::exists(file)) break;
    with_context(
        [&] { return file.filename().string(); },
        [&] {
          const std::string bytes = read_file(file);
          values.push_back(stored_slot(parse_value_proto(std::as_bytes(std::span(bytes)), infos[i].type)));
        });
  }
  return values;
}

const char* kind_of(const Slot& slot) {
  if (is_sequence(slot)) return "a sequence";
  if (is_empty_optional(slot)) return "an empty optional";
  return is_strings(slot) ? "strings" : "a tensor";
}

void check_value(const Slot& actual, const Slot& expected, const Tolerances& tolerances);

void check_numbers(const Slot& actual, const Slot& expected, const Tolerances& tolerances) {
  MC_CHECK(actual.dtype() == expected.dtype(), "element type {}, expected {}", dtype_name(actual.dtype()),
           dtype_name(expected.dtype()));
  at::Tensor a = actual.tensor;
  at::Tensor b = expected.tensor;
  MC_CHECK(a.sizes() == b.sizes(), "shape [{}], expected [{}]", fmt::join(a.sizes(), ","),
           fmt::join(b.sizes(), ","));
  if (a.is_complex()) a = at::view_as_real(a.resolve_conj()), b = at::view_as_real(b.resolve_conj());
  a = a.to(at::kDouble);
  b = b.to(at::kDouble);
  if (at::allclose(a, b, tolerances.rtol, tolerances.atol, /*equal_nan=*/true)) return;
  fail("values differ by up to {:.3g} (rtol {}, atol {})", (a - b).abs().max().item<double>(),
       tolerances.rtol, tolerances.atol);
}

void check_sequence(const Slot& actual, const Slot& expected, const Tolerances& tolerances) {
  const std::vector<Slot>& elements = actual.extra->sequence;
  const std::vector<Slot>& wanted = expected.extra->sequence;
  MC_CHECK(elements.size() == wanted.size(), "{} elements, expected {}", elements.size(), wanted.size());
  for (size_t i = 0; i < elements.size(); ++i) {
    with_context([&] { return fmt::format("element {}", i); },
                 [&] { check_value(elements[i], wanted[i], tolerances); });
  }
}

void check_value(const Slot& actual, const Slot& expected, const Tolerances& tolerances) {
  MC_CHECK(actual.defined(), "it is missing");
  MC_CHECK(std::string_view(kind_of(actual)) == kind_of(expected), "{}, expected {}", kind_of(actual),
           kind_of(expected));
  if (is_empty_optional(expected)) return;
  if (is_sequence(expected)) return check_sequence(actual, expected, tolerances);
  if (!is_strings(expected)) return check_numbers(actual, expected, tolerances);
  MC_CHECK(actual.extra->string_dims == expected.extra->string_dims, "shape [{}], expected [{}]",
           fmt::join(actual.extra->string_dims, ","), fmt::join(expected.extra->string_dims, ","));
  MC_CHECK(actual.extra->strings == expected.extra->strings, "other strings than expected");
}

void run_data_set(const Model& model, const fs::path& data, const Tolerances& tolerances) {
  const std::vector<Slot> given = read_values(data, "input", model.graph.inputs);
  const std::vector<Slot> expected = read_values(data, "output", model.graph.outputs);
  MC_CHECK(!expected.empty(), "{} has no outputs", data.filename().string());
  Model fed = model;
  std::vector<Slot> inputs;
  for (size_t i = 0; i < model.graph.inputs.size(); ++i) {
    const std::string& name = model.graph.inputs[i].name;
    const bool has_default = fed.graph.initializer(name) != nullptr;
    if (i >= given.size() && has_default) continue;
    MC_CHECK(i < given.size(), "{} has no input_{}.pb for '{}'", data.filename().string(), i, name);
    if (has_default) fed.graph.erase_initializer(name);
    inputs.push_back(given[i]);
  }
  GraphModule module(std::move(fed));
  module.eval();
  module.set_onnx_training_mode(true);
  const std::vector<Slot> outputs = module.forward_slots(std::move(inputs));
  for (size_t i = 0; i < expected.size(); ++i) {
    with_context([&] { return fmt::format("output '{}'", model.graph.outputs[i].name); },
                 [&] { check_value(outputs.at(i), expected[i], tolerances); });
  }
}

void run_all_data(const fs::path& folder) {
  const Tolerances tolerances = read_tolerances(folder / "data.json");
  const Model model = read_onnx(folder / "model.onnx");
  int count = 0;
  for (;; ++count) {
    const fs::path data = folder / fmt::format("test_data_set_{}", count);
    if (!fs::exists(data)) break;
    run_data_set(model, data, tolerances);
  }
  MC_CHECK(count > 0, "there is no test_data_set_0 to run");
}

std::string one_line(std::string text) {
  text.resize(std::min(text.size(), text.find('\n')));
  return text.empty() ? "failed without saying why" : text;
}

ConformanceCase run_case(const fs::path& folder) {
  const auto start = std::chrono::steady_clock::now();
  ConformanceCase result;
  result.name = folder.filename().string();
  const at::NoGradGuard no_grad;
  try {
    run_all_data(folder);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kInterrupted) throw;
    result.reason = one_line(error.what());
  } catch (const c10::Error& error) {
    result.reason = one_line(error.what_without_backtrace());
  } catch (const std::exception& error) {
    result.reason = one_line(error.what());
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::vector<fs::path> find_cases(const fs::path& folder) {
  MC_CHECK(fs::is_directory(folder), "{}: there is no such folder", folder.string());
  if (fs::exists(folder / "model.onnx")) return {fs::canonical(folder)};
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "model.onnx")) cases.push_back(entry.path());
  }
  MC_CHECK(!cases.empty(), "{}: no folder in it has a model.onnx", folder.string());
  std::ranges::sort(cases);
  return cases;
}

}  // namespace

int64_t Conformance::passed() const {
  return std::ranges::count_if(cases, &ConformanceCase::passed);
}

Conformance run_conformance(const fs::path& folder) {
  const std::vector<fs::path> cases = find_cases(folder);
  Conformance conformance;
  conformance.folder = folder;
  Progress progress("conformance", static_cast<int64_t>(cases.size()));
  int64_t failed = 0;
  for (const fs::path& each : cases) {
    if (interrupted()) throw Error("interrupted", ErrorKind::kInterrupted);
    conformance.cases.push_back(run_case(each));
    failed += conformance.cases.back().passed() ? 0 : 1;
    const auto done = static_cast<int64_t>(conformance.cases.size());
    progress.update(done, progress.due() ? fmt::format("{} failed", failed) : std::string());
  }
  return conformance;
}

Json to_json(const Conformance& conformance) {
  Json cases = Json::array();
  for (const ConformanceCase& each : conformance.cases) {
    cases.push_back(
        {{"name", each.name}, {"passed", each.passed()}, {"reason", each.reason}, {"seconds", each.seconds}});
  }
  return {{"schema", "model-compression/conformance/1"},
          {"folder", conformance.folder.string()},
          {"passed", conformance.passed()},
          {"failed", conformance.failed()},
          {"cases", std::move(cases)}};
}

}  // namespace mc
