#include "mc/deploy/engine.h"

#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/base/threads.h"
#include "mc/deploy/engine_list.h"
#include "mc/graph/fixed_batch.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

bool fits(const at::Tensor& tensor, const Shape& shape) {
  if (tensor.dim() != static_cast<int64_t>(shape.size())) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].known() && shape[i].value != tensor.size(static_cast<int64_t>(i))) return false;
  }
  return true;
}

void check_input(const PortInfo& port, const at::Tensor& tensor) {
  MC_CHECK(tensor.defined(), "input '{}' is not given", port.name);
  MC_CHECK(tensor.device().is_cpu(), "input '{}' is on {}; engines take tensors on the CPU", port.name,
           tensor.device().str());
  DType dtype = to_dtype(tensor.scalar_type());
  MC_CHECK(dtype == port.type.dtype, "input '{}' is {}, the model wants {}", port.name, dtype_name(dtype),
           dtype_name(port.type.dtype));
  if (!port.type.shape) return;
  MC_CHECK(fits(tensor, *port.type.shape), "input '{}' has shape {}, the model wants {}", port.name,
           shape_text(tensor), to_string(*port.type.shape));
}

// The batch that a model insists on, or -1.
int64_t fixed_batch(const Session& session) {
  for (const PortInfo& port : session.inputs()) {
    if (const int64_t fixed = fixed_batch(port.type); fixed >= 0) return fixed;
  }
  return -1;
}

// Samples [from, from + size) of `tensor`, filled up with the last one where there are fewer.
at::Tensor piece(const at::Tensor& tensor, int64_t from, int64_t size) {
  at::Tensor part = tensor.narrow(0, from, std::min(size, tensor.size(0) - from));
  int64_t missing = size - part.size(0);
  if (missing == 0) return part;
  std::vector<int64_t> repeated = part.sizes().vec();
  repeated[0] = missing;
  return at::cat({part, part.narrow(0, part.size(0) - 1, 1).expand(repeated)});
}

}  // namespace

std::string shape_text(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes().begin(), tensor.sizes().end(), ","));
}

std::vector<at::Tensor> Session::infer(const std::vector<at::Tensor>& given) {
  MC_CHECK(given.size() == inputs().size(), "the model takes {} inputs, got {}", inputs().size(),
           given.size());
  std::vector<at::Tensor> ready;
  ready.reserve(given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    check_input(inputs()[i], given[i]);
    ready.push_back(given[i].contiguous());
  }
  at::NoGradGuard no_grad;
  try {
    return infer_impl(ready);
  } catch (const c10::Error& error) {
    fail("{}", error.what_without_backtrace());
  }
}

std::vector<at::Tensor> infer_in_pieces(Session& session, const std::vector<at::Tensor>& inputs) {
  const int64_t size = fixed_batch(session);
  const int64_t samples = inputs.empty() || inputs[0].dim() == 0 ? size : inputs[0].size(0);
  const bool same = std::all_of(inputs.begin(), inputs.end(),
                                [&](const at::Tensor& t) { return t.dim() > 0 && t.size(0) == samples; });
  if (size < 1 || samples == size || samples == 0 || !same) return session.infer(inputs);
  std::vector<std::vector<at::Tensor>> parts(session.outputs().size());
  for (int64_t from = 0; from < samples; from += size) {
    std::vector<at::Tensor> some;
    for (const at::Tensor& input : inputs) some.push_back(piece(input, from, size));
    std::vector<at::Tensor> outputs = session.infer(some);
    for (size_t i = 0; i < parts.size(); ++i) {
      MC_CHECK(
          outputs[i].dim() > 0 && outputs[i].size(0) == size,
          "the model's batch is fixed to {} and output '{}' has no axis of that size in front: feed it {} "
          "samples at a time",
          size, session.outputs()[i].name, size);
      parts[i].push_back(outputs[i].narrow(0, 0, std::min(size, samples - from)));
    }
  }
  std::vector<at::Tensor> joined;
  for (const auto& pieces : parts) joined.push_back(at::cat(pieces));
  return joined;
}

std::unique_ptr<Session> MissingEngine::load(const std::filesystem::path& model, const EngineOptions&) {
  fail("{}: the engine '{}' is not available: {}", model.string(), name_, reason_);
}

std::string LibraryEngine::unavailable_reason() const {
  try {
    library_version();
    return "";
  } catch (const Error& error) {
    return fmt::format("its library does not load ({}); run scripts/setup, or set {} to {}", error.what(),
                       variable_, library_);
  }
}

LibraryEngine::LibraryEngine(std::string name, std::vector<std::string> precisions, std::string variable,
                             std::string library)
    : name_(std::move(name)),
      precisions_(std::move(precisions)),
      variable_(std::move(variable)),
      library_(std::move(library)) {}

std::unique_ptr<Session> LibraryEngine::load(const std::filesystem::path& model,
                                             const EngineOptions& options) {
  check_model_file(model);
  return with_context([&] { return model.string(); },
                      [&] {
                        const std::string reason = unavailable_reason();
                        MC_CHECK(reason.empty(), "the engine '{}' is not available: {}", name_, reason);
                        MC_CHECK(std::ranges::find(precisions_, options.precision) != precisions_.end(),
                                 "the engine '{}' runs float parts in {}, not '{}'", name_,
                                 join(precisions_, ", "), options.precision);
                        MC_CHECK(options.device == "cpu", "the engine '{}' runs on the CPU, not on '{}'",
                                 name_, options.device);
                        return load_impl(model, options);
                      });
}

void check_model_file(const std::filesystem::path& model) {
  MC_CHECK(std::filesystem::is_regular_file(model), "{}: no such file", model.string());
}

int engine_threads(const EngineOptions& options) {
  MC_CHECK(options.threads >= 0, "threads must be at least 1, or 0 for all available cores; got {}",
           options.threads);
  return options.threads > 0 ? options.threads : Threads::count();
}

const std::vector<Engine*>& all_engines() {
  static const std::vector<Engine*> engines = {&torch_engine(), &onnxruntime_engine(), &openvino_engine()};
  return engines;
}

Engine& find_engine(const std::string& name) {
  std::vector<std::string> names;
  for (Engine* engine : all_engines()) {
    if (engine->name() == name) return *engine;
    names.push_back(engine->name());
  }
  fail("unknown engine '{}'{}; there are {}", name, did_you_mean(name, names), join(names, ", "));
}

}  // namespace mc
