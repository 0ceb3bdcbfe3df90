// The engines there are, one file each. To add one, write its file, declare it here and name it in
// engine.cpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

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

// An engine whose library is opened when it is first used, and which runs on the CPU.
class LibraryEngine : public Engine {
 public:
  // variable: the environment variable that names the library; library: what to set it to.
  LibraryEngine(std::string name, std::vector<std::string> precisions, std::string variable,
                std::string library);
  std::string name() const override { return name_; }
  bool available() const override { return unavailable_reason().empty(); }
  std::string unavailable_reason() const override;
  std::string version() const override { return available() ? library_version() : ""; }
  std::unique_ptr<Session> load(const std::filesystem::path& model, const EngineOptions& options) override;

 protected:
  // Opens the library where it is not open yet. Throws Error when it cannot.
  virtual std::string library_version() const = 0;
  virtual std::unique_ptr<Session> load_impl(const std::filesystem::path& model,
                                             const EngineOptions& options) = 0;

 private:
  std::string name_;
  std::vector<std::string> precisions_;
  std::string variable_;
  std::string library_;
};

// What every engine checks before it loads: that the file is there, and the number of threads to use.
void check_model_file(const std::filesystem::path& model);
int engine_threads(const EngineOptions& options);

}  // namespace mc
