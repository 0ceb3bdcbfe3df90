// The engine `openvino`, through its C API. The library is loaded when the engine is first used.
#include "mc/deploy/engine_list.h"

#if !__has_include(<openvino/c/openvino.h>)

namespace mc {

Engine& openvino_engine() {
  static MissingEngine engine(
      "openvino",
      "built without OpenVINO's headers; run scripts/setup (or install the Python package "
      "openvino into .venv) and build again");
  return engine;
}

}  // namespace mc

#else

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <openvino/c/openvino.h>

#include "mc/base/dynamic_library.h"
#include "mc/base/error.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

// The functions that we call, by the names and types of OpenVINO's header.
// clang-format off: it never settles on such a list
#define MC_OPENVINO_FUNCTIONS(X) \
  X(ov_get_error_info) \
  X(ov_get_last_err_msg) \
  X(ov_free) \
  X(ov_get_openvino_version) \
  X(ov_version_free) \
  X(ov_core_create) \
  X(ov_core_read_model) \
  X(ov_core_compile_model) \
  X(ov_model_free) \
  X(ov_compiled_model_inputs_size) \
  X(ov_compiled_model_input_by_index) \
  X(ov_compiled_model_outputs_size) \
  X(ov_compiled_model_output_by_index) \
  X(ov_compiled_model_get_property) \
  X(ov_compiled_model_create_infer_request) \
  X(ov_compiled_model_free) \
  X(ov_port_get_any_name) \
  X(ov_port_get_partial_shape) \
  X(ov_port_get_element_type) \
  X(ov_output_const_port_free) \
  X(ov_partial_shape_free) \
  X(ov_tensor_create_from_host_ptr) \
  X(ov_tensor_get_shape) \
  X(ov_tensor_get_element_type) \
  X(ov_tensor_data) \
  X(ov_tensor_free) \
  X(ov_shape_free) \
  X(ov_infer_request_free) \
  X(ov_infer_request_set_input_tensor_by_index) \
  X(ov_infer_request_set_output_tensor_by_index) \
  X(ov_infer_request_get_output_tensor_by_index) \
  X(ov_infer_request_infer) \
  X(ov_infer_request_get_profiling_info) \
  X(ov_profiling_info_list_free)
// clang-format on

struct Functions {
#define MC_DECLARE(name) \
  decltype(&::name) name = nullptr;  // NOLINT(bugprone-macro-parentheses): it is declared
  MC_OPENVINO_FUNCTIONS(MC_DECLARE)
#undef MC_DECLARE
};

// The loaded library and its core, both alive until the process ends.
class OvRuntime : public Functions {
 public:
  static OvRuntime& get() {
    static OvRuntime* runtime = new OvRuntime;  // never torn down: sessions may outlive other statics
    return *runtime;
  }

  ov_core_t* core() const { return core_; }
  const std::string& version() const { return version_; }

  void check(ov_status_e status) const {
    if (status == ov_status_e::OK) return;
    const char* detail = ov_get_last_err_msg();
    std::string message = detail && *detail ? detail : ov_get_error_info(status);
    if (detail) ov_free(detail);
    fail("openvino: {}", message);
  }

 private:
  OvRuntime()
      : library_(library_candidates("MC_OPENVINO_LIBRARY", MC_OPENVINO_LIBRARY, {"libopenvino_c.so"})) {
#define MC_LOAD(name) name = library_.function<std::remove_pointer_t<decltype(name)>>(#name);
    MC_OPENVINO_FUNCTIONS(MC_LOAD)
#undef MC_LOAD
    check(ov_core_create(&core_));
    ov_version_t version{};
    check(ov_get_openvino_version(&version));
    version_ = version.buildNumber;
    ov_version_free(&version);
  }

  DynamicLibrary library_;
  ov_core_t* core_ = nullptr;
  std::string version_;
};

// An object of OpenVINO with the function that releases it.
template <class T>
using OvOwned = std::unique_ptr<T, void (*)(T*)>;

constexpr std::array<std::pair<ov_element_type_e, DType>, 13> kTypes = {{{BOOLEAN, DType::kBool},
                                                                         {BF16, DType::kBFloat16},
                                                                         {F16, DType::kFloat16},
                                                                         {F32, DType::kFloat},
                                                                         {F64, DType::kDouble},
                                                                         {I8, DType::kInt8},
                                                                         {I16, DType::kInt16},
                                                                         {I32, DType::kInt32},
                                                                         {I64, DType::kInt64},
                                                                         {U8, DType::kUInt8},
                                                                         {U16, DType::kUInt16},
                                                                         {U32, DType::kUInt32},
                                                                         {U64, DType::kUInt64}}};

DType dtype_of(ov_element_type_e type) {
  for (const auto& [theirs, ours] : kTypes) {
    if (theirs == type) return ours;
  }
  fail("openvino: element type {} has no tensor type here", static_cast<int>(type));
}

ov_element_type_e openvino_type(at::ScalarType type) {
  const DType wanted = to_dtype(type);
  for (const auto& [theirs, ours] : kTypes) {
    if (ours == wanted) return theirs;
  }
  fail("openvino does not take {} tensors", dtype_name(wanted));
}

Shape shape_of(const ov_partial_shape_t& partial) {
  Shape shape;
  for (int64_t i = 0; i < partial.rank.max; ++i) {
    const ov_dimension_t& dim = partial.dims[i];
    shape.push_back(dim.min == dim.max ? Dim(dim.min) : Dim());
  }
  return shape;
}

PortInfo port_info(const OvRuntime& runtime, const ov_output_const_port_t* port, size_t index) {
  PortInfo info;
  char* name = nullptr;
  // A port without a name is legal there; ours is called by its place.
  if (runtime.ov_port_get_any_name(port, &name) == ov_status_e::OK) {
    info.name = name;
    runtime.ov_free(name);
  } else {
    info.name = fmt::format("#{}", index);
  }
  ov_element_type_e element = DYNAMIC;
  runtime.check(runtime.ov_port_get_element_type(port, &element));
  ov_partial_shape_t partial{};
  runtime.check(runtime.ov_port_get_partial_shape(port, &partial));
  std::optional<Shape> shape;
  if (partial.rank.min == partial.rank.max) shape = shape_of(partial);
  runtime.ov_partial_shape_free(&partial);
  info.type = Type::tensor(dtype_of(element), std::move(shape));
  return info;
}

class OpenVinoModel : public Session {
 public:
  OpenVinoModel(const std::filesystem::path& file, const EngineOptions& options)
      : runtime_(OvRuntime::get()),
        compiled_(nullptr, runtime_.ov_compiled_model_free),
        request_(nullptr, runtime_.ov_infer_request_free) {
    ov_model_t* read = nullptr;
    runtime_.check(runtime_.ov_core_read_model(runtime_.core(), file.c_str(), nullptr, &read));
    OvOwned<ov_model_t> model(read, runtime_.ov_model_free);
    const std::string threads = std::to_string(engine_threads(options));
    const std::string& precision = options.precision;
    // Without the hint, float models run in bf16 where the processor has it. Threads that are bound to
    // cores would stay there when another engine's turn comes.
    const std::array<const char*, 12> settings = {"PERFORMANCE_HINT",
                                                  "LATENCY",
                                                  "INFERENCE_PRECISION_HINT",
                                                  precision.c_str(),
                                                  "INFERENCE_NUM_THREADS",
                                                  threads.c_str(),
                                                  "NUM_STREAMS",
                                                  "1",
                                                  "ENABLE_CPU_PINNING",
                                                  "NO",
                                                  "PERF_COUNT",
                                                  options.profile ? "YES" : "NO"};
    ov_compiled_model_t* compiled = nullptr;
    std::apply(
        [&](auto... setting) {
          runtime_.check(runtime_.ov_core_compile_model(runtime_.core(), read, "CPU", settings.size(),
                                                        &compiled, setting...));
        },
        settings);
    compiled_.reset(compiled);
    ov_infer_request_t* request = nullptr;
    runtime_.check(runtime_.ov_compiled_model_create_infer_request(compiled, &request));
    request_.reset(request);
    read_ports(runtime_.ov_compiled_model_inputs_size, runtime_.ov_compiled_model_input_by_index, inputs_);
    read_ports(runtime_.ov_compiled_model_outputs_size, runtime_.ov_compiled_model_output_by_index, outputs_);
    char* used = nullptr;
    runtime_.check(runtime_.ov_compiled_model_get_property(compiled, "INFERENCE_PRECISION_HINT", &used));
    precision_ = used;
    runtime_.ov_free(used);
  }

  const std::vector<PortInfo>& inputs() const override { return inputs_; }
  const std::vector<PortInfo>& outputs() const override { return outputs_; }
  std::string precision() const override { return precision_; }

  std::vector<KernelRun> kernels() const override {
    ov_profiling_info_list_t list{};
    runtime_.check(runtime_.ov_infer_request_get_profiling_info(request_.get(), &list));
    std::vector<KernelRun> kernels;
    for (size_t i = 0; i < list.size; ++i) {
      const ov_profiling_info_t& info = list.profiling_infos[i];
      if (info.status != ov_profiling_info_t::EXECUTED) continue;
      kernels.push_back({info.node_name, info.node_type, info.exec_type});
    }
    runtime_.ov_profiling_info_list_free(&list);
    return kernels;
  }

 protected:
  std::vector<at::Tensor> infer_impl(const std::vector<at::Tensor>& inputs) override {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const OvOwned<ov_tensor_t> tensor = view(inputs[i]);
      runtime_.check(runtime_.ov_infer_request_set_input_tensor_by_index(request_.get(), i, tensor.get()));
    }
    // Where it is known how large an output will be, the engine writes into the tensor that is handed out.
    std::vector<at::Tensor> outputs(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const std::optional<std::vector<int64_t>> dims = fixed_dims(outputs_[i].type);
      if (!dims) continue;
      outputs[i] = at::empty(*dims, at::TensorOptions(to_scalar_type(outputs_[i].type.dtype)));
      const OvOwned<ov_tensor_t> tensor = view(outputs[i]);
      runtime_.check(runtime_.ov_infer_request_set_output_tensor_by_index(request_.get(), i, tensor.get()));
    }
    runtime_.check(runtime_.ov_infer_request_infer(request_.get()));
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].defined()) outputs[i] = copy_out(i);
    }
    return outputs;
  }

 private:
  template <class Count, class Port>
  void read_ports(Count count_of, Port port_at, std::vector<PortInfo>& ports) {
    size_t count = 0;
    runtime_.check(count_of(compiled_.get(), &count));
    for (size_t i = 0; i < count; ++i) {
      ov_output_const_port_t* port = nullptr;
      runtime_.check(port_at(compiled_.get(), i, &port));
      OvOwned<ov_output_const_port_t> guard(port, runtime_.ov_output_const_port_free);
      ports.push_back(port_info(runtime_, port, i));
    }
  }

  static std::optional<std::vector<int64_t>> fixed_dims(const Type& type) {
    if (!type.shape) return std::nullopt;
    std::vector<int64_t> dims;
    for (const Dim& dim : *type.shape) {
      if (!dim.known() || dim.value == 0) return std::nullopt;
      dims.push_back(dim.value);
    }
    return dims;
  }

  // The engine's tensor on the memory of ours.
  OvOwned<ov_tensor_t> view(const at::Tensor& tensor) const {
    std::vector<int64_t> dims = tensor.sizes().vec();
    const ov_shape_t shape{static_cast<int64_t>(dims.size()), dims.data()};
    ov_tensor_t* result = nullptr;
    std::byte nothing{};  // a tensor of no elements has no memory, which OpenVINO takes for a mistake
    void* memory = tensor.numel() == 0 ? &nothing : tensor.data_ptr();
    runtime_.check(
        runtime_.ov_tensor_create_from_host_ptr(openvino_type(tensor.scalar_type()), shape, memory, &result));
    return {result, runtime_.ov_tensor_free};
  }

  at::Tensor copy_out(size_t index) {
    ov_tensor_t* tensor = nullptr;
    runtime_.check(runtime_.ov_infer_request_get_output_tensor_by_index(request_.get(), index, &tensor));
    OvOwned<ov_tensor_t> guard(tensor, runtime_.ov_tensor_free);
    ov_element_type_e element = DYNAMIC;
    runtime_.check(runtime_.ov_tensor_get_element_type(tensor, &element));
    ov_shape_t shape{};
    runtime_.check(runtime_.ov_tensor_get_shape(tensor, &shape));
    std::vector<int64_t> dims(shape.dims, shape.dims + shape.rank);
    runtime_.ov_shape_free(&shape);
    at::Tensor result = at::empty(dims, at::TensorOptions(to_scalar_type(dtype_of(element))));
    if (result.numel() == 0) return result;
    void* data = nullptr;
    runtime_.check(runtime_.ov_tensor_data(tensor, &data));
    std::memcpy(result.data_ptr(), data, result.nbytes());
    return result;
  }

  OvRuntime& runtime_;
  OvOwned<ov_compiled_model_t> compiled_;
  OvOwned<ov_infer_request_t> request_;
  std::vector<PortInfo> inputs_;
  std::vector<PortInfo> outputs_;
  std::string precision_;
};

class OpenVinoEngine : public LibraryEngine {
 public:
  OpenVinoEngine()
      : LibraryEngine("openvino", {"f32", "bf16", "f16"}, "MC_OPENVINO_LIBRARY",
                      "libopenvino_c.so of the Python package openvino") {}

 protected:
  std::string library_version() const override { return OvRuntime::get().version(); }

  std::unique_ptr<Session> load_impl(const std::filesystem::path& file,
                                     const EngineOptions& options) override {
    MC_CHECK(options.optimized_model.empty(), "the engine 'openvino' writes no optimized ONNX model");
    // Reads the file: given a broken one, OpenVINO tries every format it knows and prints.
    external_files(file);
    return std::make_unique<OpenVinoModel>(file, options);
  }
};

}  // namespace

Engine& openvino_engine() {
  static OpenVinoEngine engine;
  return engine;
}

}  // namespace mc

#endif
