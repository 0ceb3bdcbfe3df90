// The engine `onnxruntime`, through its C API. The library is loaded when the engine is first used; its API
// is versioned, so that headers of an older release than the library's serve.
#include "mc/deploy/engine_list.h"

#if !__has_include(<onnxruntime_c_api.h>)

namespace mc {

Engine& onnxruntime_engine() {
  static MissingEngine engine("onnxruntime",
                              "built without ONNX Runtime's headers; run scripts/setup (or install "
                              "libonnxruntime-dev) and build again");
  return engine;
}

}  // namespace mc

#else

#include <functional>

#include <ATen/Functions.h>
#include <onnxruntime_c_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include "mc/base/dynamic_library.h"
#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

// ONNX Runtime prints unless it is given somewhere to say things; its errors come back as statuses too.
void forward_log(void*, OrtLoggingLevel, const char*, const char*, const char* where, const char* message) {
  log(LogLevel::kDebug, fmt::format("onnxruntime: {} ({})", message, where));
}

// The loaded library: its functions and its environment, both alive until the process ends.
class OrtRuntime {
 public:
  static OrtRuntime& get() {
    static OrtRuntime* runtime = new OrtRuntime;  // never torn down: sessions may outlive other statics
    return *runtime;
  }

  const OrtApi& api() const { return *api_; }
  OrtEnv* env() const { return env_; }
  OrtAllocator* allocator() const { return allocator_; }
  OrtMemoryInfo* cpu() const { return cpu_; }
  const std::string& version() const { return version_; }

  void check(OrtStatus* status) const {
    if (!status) return;
    std::string message = api_->GetErrorMessage(status);
    api_->ReleaseStatus(status);
    fail("onnxruntime: {}", message);
  }

 private:
  OrtRuntime()
      : library_(library_candidates("MC_ONNXRUNTIME_LIBRARY", MC_ONNXRUNTIME_LIBRARY,
                                    {"libonnxruntime.so.1", "libonnxruntime.so"})) {
    const OrtApiBase* base = library_.function<const OrtApiBase*()>("OrtGetApiBase")();
    version_ = base->GetVersionString();
    api_ = base->GetApi(ORT_API_VERSION);
    MC_CHECK(api_, "{} is ONNX Runtime {}, older than the headers we were built with (API {})",
             library_.path(), version_, ORT_API_VERSION);
    check(api_->CreateEnvWithCustomLogger(forward_log, nullptr, ORT_LOGGING_LEVEL_WARNING, "mc", &env_));
    check(api_->GetAllocatorWithDefaultOptions(&allocator_));
    check(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &cpu_));
  }

  DynamicLibrary library_;
  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtAllocator* allocator_ = nullptr;
  OrtMemoryInfo* cpu_ = nullptr;
  std::string version_;
};

// An object of ONNX Runtime with the function that releases it.
template <class T>
using OrtOwned = std::unique_ptr<T, std::function<void(T*)> >;

template <class T, class Release>
OrtOwned<T> own(T* object, Release release) {
  return OrtOwned<T>(object, [release](T* held) { release(held); });
}

// ONNX Runtime numbers element types as ONNX does, up to float8.
DType dtype_of(ONNXTensorElementDataType type) {
  return static_cast<DType>(static_cast<int32_t>(type));
}
ONNXTensorElementDataType ort_type(at::ScalarType type) {
  return static_cast<ONNXTensorElementDataType>(static_cast<int32_t>(to_dtype(type)));
}

Type tensor_type(const OrtRuntime& runtime, const OrtTypeInfo* info, const std::string& name) {
  const OrtApi& api = runtime.api();
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  runtime.check(api.CastTypeInfoToTensorInfo(info, &tensor));
  MC_CHECK(tensor, "'{}' is not a tensor; the engine 'onnxruntime' takes and gives tensors only", name);
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  size_t rank = 0;
  runtime.check(api.GetTensorElementType(tensor, &element));
  runtime.check(api.GetDimensionsCount(tensor, &rank));
  std::vector<int64_t> dims(rank);
  std::vector<const char*> symbols(rank);
  runtime.check(api.GetDimensions(tensor, dims.data(), rank));
  runtime.check(api.GetSymbolicDimensions(tensor, symbols.data(), rank));
  Shape shape;
  for (size_t i = 0; i < rank; ++i)
    shape.push_back(dims[i] >= 0 ? Dim(dims[i]) : Dim(std::string(symbols[i])));
  return Type::tensor(dtype_of(element), std::move(shape));
}

class OrtModel : public Session {
 public:
  OrtModel(const std::filesystem::path& file, const EngineOptions& options) : runtime_(OrtRuntime::get()) {
    const OrtApi& api = runtime_.api();
    OrtSessionOptions* raw = nullptr;
    runtime_.check(api.CreateSessionOptions(&raw));
    auto settings = own(raw, api.ReleaseSessionOptions);
    runtime_.check(api.SetIntraOpNumThreads(raw, engine_threads(options)));
    runtime_.check(api.SetInterOpNumThreads(raw, 1));
    // Threads that wait spin within a run, as is the runtime's default (without, a small network takes 1.4
    // times as long), but must not take cores from whatever runs next in this process.
    runtime_.check(api.AddSessionConfigEntry(raw, kOrtSessionOptionsConfigForceSpinningStop, "1"));
    runtime_.check(api.AddSessionConfigEntry(raw, kOrtSessionOptionsConfigAllowInterOpSpinning, "0"));
    if (!options.optimized_model.empty()) {
      // Beyond this level the graph is laid out for one processor and no longer plain ONNX.
      runtime_.check(api.SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_EXTENDED));
      runtime_.check(api.SetOptimizedModelFilePath(raw, options.optimized_model.c_str()));
    }
    OrtSession* session = nullptr;
    runtime_.check(api.CreateSession(runtime_.env(), file.c_str(), raw, &session));
    session_.reset(session, api.ReleaseSession);
    read_ports(api.SessionGetInputCount, api.SessionGetInputName, api.SessionGetInputTypeInfo, inputs_);
    read_ports(api.SessionGetOutputCount, api.SessionGetOutputName, api.SessionGetOutputTypeInfo, outputs_);
    for (const PortInfo& port : inputs_) input_names_.push_back(port.name.c_str());
    for (const PortInfo& port : outputs_) output_names_.push_back(port.name.c_str());
  }

  const std::vector<PortInfo>& inputs() const override { return inputs_; }
  const std::vector<PortInfo>& outputs() const override { return outputs_; }
  std::string precision() const override { return "f32"; }

 protected:
  std::vector<at::Tensor> infer_impl(const std::vector<at::Tensor>& inputs) override {
    const OrtApi& api = runtime_.api();
    std::vector<OrtOwned<OrtValue> > held;
    std::vector<const OrtValue*> values;
    for (const at::Tensor& input : inputs) {
      OrtValue* value = nullptr;
      runtime_.check(api.CreateTensorWithDataAsOrtValue(
          runtime_.cpu(), input.data_ptr(), input.nbytes(), input.sizes().data(),
          static_cast<size_t>(input.dim()), ort_type(input.scalar_type()), &value));
      held.push_back(own(value, api.ReleaseValue));
      values.push_back(value);
    }
    std::vector<OrtValue*> results(outputs_.size(), nullptr);
    OrtStatus* status = api.Run(session_.get(), nullptr, input_names_.data(), values.data(), values.size(),
                                output_names_.data(), results.size(), results.data());
    std::vector<std::shared_ptr<OrtValue> > given;
    for (OrtValue* result : results) given.push_back(share(result));
    runtime_.check(status);
    std::vector<at::Tensor> outputs;
    outputs.reserve(given.size());
    for (std::shared_ptr<OrtValue>& value : given) outputs.push_back(tensor_over(std::move(value)));
    return outputs;
  }

 private:
  template <class Count, class Name, class Info>
  void read_ports(Count count_of, Name name_of, Info info_of, std::vector<PortInfo>& ports) {
    size_t count = 0;
    runtime_.check(count_of(session_.get(), &count));
    for (size_t i = 0; i < count; ++i) {
      char* text = nullptr;
      runtime_.check(name_of(session_.get(), i, runtime_.allocator(), &text));
      std::string name = text;
      runtime_.check(runtime_.api().AllocatorFree(runtime_.allocator(), text));
      OrtTypeInfo* info = nullptr;
      runtime_.check(info_of(session_.get(), i, &info));
      auto guard = own(info, runtime_.api().ReleaseTypeInfo);
      ports.push_back({name, tensor_type(runtime_, info, name)});
    }
  }

  // The value, released with its last owner and before the session that allocated it.
  std::shared_ptr<OrtValue> share(OrtValue* value) const {
    return {value, [session = session_, release = runtime_.api().ReleaseValue](OrtValue* last) {
              if (last) release(last);
            }};
  }

  // A tensor on the value's own memory, which it keeps alive.
  at::Tensor tensor_over(std::shared_ptr<OrtValue> value) const {
    const OrtApi& api = runtime_.api();
    OrtTensorTypeAndShapeInfo* info = nullptr;
    runtime_.check(api.GetTensorTypeAndShape(value.get(), &info));
    auto guard = own(info, api.ReleaseTensorTypeAndShapeInfo);
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    runtime_.check(api.GetTensorElementType(info, &element));
    runtime_.check(api.GetDimensionsCount(info, &rank));
    std::vector<int64_t> dims(rank);
    runtime_.check(api.GetDimensions(info, dims.data(), rank));
    void* data = nullptr;
    runtime_.check(api.GetTensorMutableData(value.get(), &data));
    return at::from_blob(data, dims, [value](void*) {}, at::TensorOptions(to_scalar_type(dtype_of(element))));
  }

  OrtRuntime& runtime_;
  std::shared_ptr<OrtSession> session_;
  std::vector<PortInfo> inputs_;
  std::vector<PortInfo> outputs_;
  std::vector<const char*> input_names_;
  std::vector<const char*> output_names_;
};

class OnnxRuntimeEngine : public LibraryEngine {
 public:
  OnnxRuntimeEngine()
      : LibraryEngine("onnxruntime", {"f32"}, "MC_ONNXRUNTIME_LIBRARY",
                      "libonnxruntime.so of the Python package onnxruntime") {}

 protected:
  std::string library_version() const override { return OrtRuntime::get().version(); }

  std::unique_ptr<Session> load_impl(const std::filesystem::path& file,
                                     const EngineOptions& options) override {
    return std::make_unique<OrtModel>(file, options);
  }
};

}  // namespace

Engine& onnxruntime_engine() {
  static OnnxRuntimeEngine engine;
  return engine;
}

}  // namespace mc

#endif
