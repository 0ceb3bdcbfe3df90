#include "mc/report/results.h"

#include <algorithm>
#include <ctime>
#include <fstream>

#include "mc/base/threads.h"

namespace mc {
namespace {

Json json(const EnvironmentResult& e) {
  Json versions = Json::object();
  for (const auto& [name, version] : e.versions) versions[name] = version;
  return {
      {"cpu", e.cpu}, {"device", e.device}, {"threads", e.threads}, {"date", e.date}, {"versions", versions}};
}

Json json(const StageResultRow& s) {
  return {
      {"name", s.name},     {"epochs", s.epochs},     {"steps", s.steps},     {"metric_name", s.metric_name},
      {"metric", s.metric}, {"sparsity", s.sparsity}, {"seconds", s.seconds}, {"methods", s.methods}};
}

Json json(const ModelResult& m) {
  return {{"name", m.name},
          {"file", m.file},
          {"file_bytes", m.file_bytes},
          {"compressed_bytes", m.compressed_bytes},
          {"sparsity", m.sparsity},
          {"parameters", m.parameters},
          {"macs", m.macs}};
}

Json json(const EvaluationResult& e) {
  return {{"model", e.model},
          {"engine", e.engine},
          {"metric", e.metric},
          {"value", e.value},
          {"samples", e.samples}};
}

Json json(const LayerSparsity& l) {
  return {{"model", l.model}, {"layer", l.layer}, {"sparsity", l.sparsity}, {"elements", l.elements}};
}

Json json(const QuantizedLayerResult& l) {
  return {
      {"model", l.model}, {"layer", l.layer}, {"op", l.op}, {"quantized", l.quantized}, {"reason", l.reason}};
}

Json json(const CheckResult& c) {
  return {{"name", c.name}, {"required", c.required}, {"measured", c.measured}, {"passed", c.passed}};
}

template <class T>
Json list(const std::vector<T>& items) {
  Json result = Json::array();
  for (const T& item : items) result.push_back(json(item));
  return result;
}

// "model name" of the first processor; the architecture's own naming differs elsewhere.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

bool RunResults::passed() const {
  return std::all_of(checks.begin(), checks.end(), [](const CheckResult& check) { return check.passed; });
}

Json to_json(const RunResults& r) {
  return {{"schema", kRunSchema},
          {"name", r.name},
          {"passed", r.passed()},
          {"seconds", r.seconds},
          {"data", r.data},
          {"environment", json(r.environment)},
          {"stages", list(r.stages)},
          {"models", list(r.models)},
          {"evaluations", list(r.evaluations)},
          {"benchmarks", Json(r.benchmarks)},
          {"comparisons", Json(r.comparisons)},
          {"sparsity_by_layer", list(r.sparsity_by_layer)},
          {"quantized_layers", list(r.quantized_layers)},
          {"checks", list(r.checks)},
          {"recipe", r.recipe}};
}

EnvironmentResult this_environment() {
  EnvironmentResult environment;
  environment.cpu = processor_name();
  environment.threads = Threads::count();
  environment.date = now_utc();
  return environment;
}

}  // namespace mc
