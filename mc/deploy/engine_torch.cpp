// The engine `torch`: our own executor, so that what training computes can be compared with what other
// engines compute from the same file.

#include <algorithm>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include "mc/base/error.h"
#include "mc/deploy/engine_list.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"

namespace mc {
namespace {

// LibTorch has one pool for the process; a session that wants another size has it while it runs.
class TorchThreads {
 public:
  explicit TorchThreads(int wanted) : before_(at::get_num_threads()) {
    if (wanted != before_) at::set_num_threads(wanted);
  }
  ~TorchThreads() {
    if (at::get_num_threads() != before_) at::set_num_threads(before_);
  }
  TorchThreads(const TorchThreads&) = delete;
  TorchThreads& operator=(const TorchThreads&) = delete;

 private:
  int before_;
};

// Convolutions and matrix products in bfloat16, the rest as it comes.
class Autocast {
 public:
  Autocast(at::DeviceType device, bool enabled)
      : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device, enabled);
    if (enabled) at::autocast::set_autocast_dtype(device, at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, before_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool before_;
};

std::vector<PortInfo> ports(const std::vector<std::string>& names, const Graph& graph) {
  std::vector<PortInfo> result;
  result.reserve(names.size());
  for (const std::string& name : names) {
    result.push_back({name, graph.type_of(name).value_or(Type::tensor(DType::kUndefined))});
  }
  return result;
}

ModuleOptions on(at::Device device) {
  ModuleOptions options;
  options.device = device;
  return options;
}

class TorchSession : public Session {
 public:
  TorchSession(Model model, at::Device device, const EngineOptions& options)
      : module_(std::move(model), on(device)),
        bf16_(options.precision == "bf16"),
        threads_(engine_threads(options)),
        inputs_(ports(module_.input_names(), module_.structure().graph)),
        outputs_(ports(module_.output_names(), module_.structure().graph)) {
    module_.eval();
    const auto& nodes = module_.structure().graph.nodes;
    settled_ = std::none_of(nodes.begin(), nodes.end(),
                            [](const Node& node) { return node.op_type == "QuantizeLinear"; });
  }

  const std::vector<PortInfo>& inputs() const override { return inputs_; }
  const std::vector<PortInfo>& outputs() const override { return outputs_; }
  std::string precision() const override { return bf16_ ? "bf16" : "f32"; }

 protected:
  std::vector<at::Tensor> infer_impl(const std::vector<at::Tensor>& inputs) override {
    TorchThreads threads(threads_);
    Autocast autocast(module_.device().type(), bf16_);
    std::vector<at::Tensor> there;
    there.reserve(inputs.size());
    for (const at::Tensor& input : inputs) there.push_back(input.to(module_.device()));
    // The plan with integer kernels is made for the second run; the first must round as it does.
    if (!settled_) module_.forward(there);
    settled_ = true;
    std::vector<at::Tensor> outputs = module_.forward(there);
    for (size_t i = 0; i < outputs.size(); ++i) {
      outputs[i] = outputs[i].to(at::kCPU);
      // Autocast leaves what a bf16 operator made; callers get the file's types.
      if (outputs[i].scalar_type() == at::kBFloat16 && outputs_[i].type.dtype == DType::kFloat) {
        outputs[i] = outputs[i].to(at::kFloat);
      }
      outputs[i] = outputs[i].contiguous();
      // A model may only look at its input or at a constant in another shape.
      if (outputs[i].storage().use_count() > 1) outputs[i] = outputs[i].clone();
    }
    return outputs;
  }

 private:
  GraphModule module_;
  bool bf16_;
  bool settled_ = true;
  int threads_;
  std::vector<PortInfo> inputs_;
  std::vector<PortInfo> outputs_;
};

at::Device parse_device(const std::string& text) {
  try {
    at::Device device(text);
    MC_CHECK(device.is_cpu() || at::globalContext().hasCUDA(), "device '{}': this machine has no CUDA device",
             text);
    return device;
  } catch (const c10::Error&) {
    fail("device '{}' is not known; use cpu, cuda or cuda:N", text);
  }
}

class TorchEngine : public Engine {
 public:
  std::string name() const override { return "torch"; }
  bool available() const override { return true; }
  std::string unavailable_reason() const override { return ""; }
  std::string version() const override { return TORCH_VERSION; }

  std::unique_ptr<Session> load(const std::filesystem::path& file, const EngineOptions& options) override {
    check_model_file(file);
    return with_context([&] { return file.string(); },
                        [&]() -> std::unique_ptr<Session> {
                          MC_CHECK(options.precision == "f32" || options.precision == "bf16",
                                   "the engine 'torch' runs in f32 or bf16, not '{}'", options.precision);
                          MC_CHECK(options.optimized_model.empty(),
                                   "the engine 'torch' has no optimized model to write");
                          at::Device device = parse_device(options.device);
                          return std::make_unique<TorchSession>(read_onnx(file), device, options);
                        });
  }
};

}  // namespace

Engine& torch_engine() {
  static TorchEngine engine;
  return engine;
}

}  // namespace mc
