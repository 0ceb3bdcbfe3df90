// The engines there are, one file each. To add one, write its file, declare it here and name it in
// engine.cpp.
#pragma once

#include <string>
#include <utility>

#include "mc/deploy/engine.h"

namespace mc {

Engine& torch_engine();
Engine& onnxruntime_engine();
Engine& openvino_engine();

// Stands in for an engine whose headers were missing when we were built.
class MissingEngine : public Engine {
 public:
  MissingEngine(std::string name, std::string reason) : name_(std::move(name)), reason_(std::move(reason)) {}
  std::string name() const override { return name_; }
  bool available() const override { return false; }
  std::string unavailable_reason() const override { return reason_; }
  std::string version() const override { return ""; }
  std::unique_ptr<Session> load(const std::filesystem::path& model, const EngineOptions& options) override;

 private:
  std::string name_;
  std::string reason_;
};

// What every engine checks before it loads: that the file is there, and the number of threads to use.
void check_model_file(const std::filesystem::path& model);
int engine_threads(const EngineOptions& options);

}  // namespace mc
