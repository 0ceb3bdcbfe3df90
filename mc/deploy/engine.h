// Engines run model files. They know only files and tensors: one file an engine, one visible list.
// An engine's library is loaded when it is first used; a missing one says which package brings it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/type.h"

namespace mc {

struct EngineOptions {
  int threads = 0;                        // 0: Threads::count()
  std::string precision = "f32";          // what float parts run in: f32, bf16, f16 (where the engine can)
  std::string device = "cpu";             // torch engine: cpu, cuda, cuda:1
  std::filesystem::path optimized_model;  // where set, the engine writes its optimized graph there
  bool profile = false;                   // remember what ran, for Session::kernels
};

// The sizes of `tensor` as messages give them: [32,3,224,224].
std::string shape_text(const at::Tensor& tensor);

struct PortInfo {
  std::string name;
  Type type;
};

// What an engine ran for one of its nodes.
struct KernelRun {
  std::string node;
  std::string type;    // "Convolution", as the engine calls it
  std::string kernel;  // "brgconv_avx512_amx_I8"
};

// A loaded model. infer() checks; engines write only infer_impl().
class Session {
 public:
  virtual ~Session() = default;
  virtual const std::vector<PortInfo>& inputs() const = 0;
  virtual const std::vector<PortInfo>& outputs() const = 0;
  virtual std::string precision() const = 0;  // what it really runs in, as reported
  // What the last run of a session loaded with `profile` executed; empty where the engine does not tell.
  virtual std::vector<KernelRun> kernels() const { return {}; }

  // Inputs in the order of inputs(), on the CPU, contiguous or not. Throws Error when number, type, rank
  // or a fixed dim does not fit. Contiguous inputs are read where they are. The outputs own their memory: the
  // engine's own, not a copy (openvino copies outputs whose shape the model leaves open).
  std::vector<at::Tensor> infer(const std::vector<at::Tensor>& inputs);

 protected:
  virtual std::vector<at::Tensor> infer_impl(const std::vector<at::Tensor>& inputs) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string name() const = 0;  // "onnxruntime"
  virtual bool available() const = 0;
  virtual std::string unavailable_reason() const = 0;  // what to install or configure; empty when available
  virtual std::string version() const = 0;
  // Throws Error that names the file, and the node where the engine names one.
  virtual std::unique_ptr<Session> load(const std::filesystem::path& model, const EngineOptions& options) = 0;
};

// Runs any number of samples (the first axis of every input) on a model whose batch is fixed: in pieces of
// its size, the last one filled up with copies of its last sample. Elsewhere the same as infer().
std::vector<at::Tensor> infer_in_pieces(Session& session, const std::vector<at::Tensor>& inputs);

// torch, onnxruntime, openvino. find_engine throws Error with the nearest name; an engine that is not
// available throws when it loads.
const std::vector<Engine*>& all_engines();
Engine& find_engine(const std::string& name);

}  // namespace mc
