#include "mc/recipe/run_folder.h"

#include <utility>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/log.h"
#include "mc/train/checkpoint.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

std::optional<Json> read_json(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  Json json = Json::parse(read_file(path), nullptr, false);
  if (json.is_discarded() || !json.is_object()) return std::nullopt;
  return json;
}

}  // namespace

RunFolder::RunFolder(fs::path root, bool resume) : root_(std::move(root)) {
  make_output_folder(root_);
  if (!resume) {
    for (const fs::path& sign : {results(), root_ / "stages", root_ / "checkpoints"}) {
      MC_CHECK(!fs::exists(sign) || fs::is_empty(sign),
               "{}: holds an earlier run; continue it with --resume, or choose another --output",
               root_.string());
    }
  }
}

void RunFolder::make_parts() {
  for (const char* part : {"models", "stages", "checkpoints"}) make_output_folder(root_ / part);
}

fs::path RunFolder::model(const std::string& name) const {
  return root_ / "models" / (name + ".onnx");
}
fs::path RunFolder::stage_model(const std::string& stage) const {
  return root_ / "stages" / (stage + ".onnx");
}
fs::path RunFolder::stage_record(const std::string& stage) const {
  return root_ / "stages" / (stage + ".json");
}
fs::path RunFolder::checkpoint(const std::string& stage) const {
  return root_ / "checkpoints" / stage;
}
fs::path RunFolder::checkpoint_key(const std::string& stage) const {
  return root_ / "checkpoints" / (stage + ".json");
}
fs::path RunFolder::best(const std::string& stage) const {
  return root_ / "checkpoints" / (stage + ".best.onnx");
}

std::optional<Json> RunFolder::finished_stage(const std::string& stage, const Json& key) const {
  std::optional<Json> record = read_json(stage_record(stage));
  if (!record || !fs::exists(stage_model(stage))) return std::nullopt;
  if (record->value("key", Json()) != key) {
    warn("stage '{}' was run with other settings; it runs again", stage);
    return std::nullopt;
  }
  return record->value("outcome", Json());
}

void RunFolder::finish_stage(const std::string& stage, const Json& key, const Json& outcome) {
  Json record = {{"key", key}, {"outcome", outcome}};
  write_file_atomic(stage_record(stage), record.dump(2) + "\n");
}

bool RunFolder::begin_stage(const std::string& stage, const Json& key) {
  fs::remove(stage_record(stage));
  std::optional<Json> before = read_json(checkpoint_key(stage));
  if (before && *before == key) return true;
  remove_checkpoint(checkpoint(stage));
  write_file_atomic(checkpoint_key(stage), key.dump(2) + "\n");
  return false;
}

void MetricsFile::begin_stage(const std::string& stage, bool resumed) {
  stage_ = stage;
  trimmed_ = false;
  stream_.close();
  if (!resumed) rewrite({0, 0});
}

// Keeps the lines of other stages, and of this one those before the place.
void MetricsFile::rewrite(Place first_new) {
  std::string kept;
  for (const Json& line : read_metrics(path_)) {
    if (line.value("stage", "") != stage_ || place(line) < first_new) kept += line.dump() + "\n";
  }
  write_file_atomic(path_, kept);
  stream_.open(path_, std::ios::app);
  trimmed_ = true;
}

MetricsFile::Place MetricsFile::place(const Json& line) {
  return {line.value("epoch", int64_t{0}), line.value("step", int64_t{0})};
}

void MetricsFile::add(const Json& line) {
  if (!trimmed_) rewrite(place(line));
  stream_ << line.dump() << '\n' << std::flush;
  if (!stream_ && !std::exchange(failed_, true)) {
    warn("{}: cannot be written any more; training goes on without it", path_.string());
  }
}

std::vector<Json> read_metrics(const fs::path& path) {
  std::vector<Json> lines;
  std::ifstream stream(path);
  for (std::string text; std::getline(stream, text);) {
    Json line = Json::parse(text, nullptr, false);
    if (line.is_object()) lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace mc
