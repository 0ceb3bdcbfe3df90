// The files of a run, and which of its stages are done.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mc/base/json.h"

namespace mc {

//   recipe.yaml           the recipe as it ran, defaults written out
//   results.json          docs/results.md; there when the run is done
//   report.html
//   metrics.jsonl         a line every few steps
//   models/NAME.onnx      what is exported
//   stages/STAGE.onnx     the network as it left the stage, masks and simulated quantization included
//   stages/STAGE.json     what the stage was asked and what came of it; there when the stage is done
//   checkpoints/STAGE/    from which an interrupted stage goes on
//   checkpoints/STAGE.json, checkpoints/STAGE.best.onnx
class RunFolder {
 public:
  // Makes the folder. Throws Error when it cannot be written to, or holds an earlier run and `resume` is
  // not given.
  RunFolder(std::filesystem::path root, bool resume);
  void make_parts();  // the folders below

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path recipe() const { return root_ / "recipe.yaml"; }
  std::filesystem::path results() const { return root_ / "results.json"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path model(const std::string& name) const;
  std::filesystem::path stage_model(const std::string& stage) const;
  std::filesystem::path checkpoint(const std::string& stage) const;
  std::filesystem::path best(const std::string& stage) const;

  // What finish_stage() left for the same `key` (everything that the stage's outcome depends on); nothing
  // when the stage is not done, or was done with other settings.
  std::optional<Json> finished_stage(const std::string& stage, const Json& key) const;
  void finish_stage(const std::string& stage, const Json& key, const Json& outcome);

  // Called before a stage is trained: true when its checkpoint is of the same `key`; others are removed.
  bool begin_stage(const std::string& stage, const Json& key);

 private:
  std::filesystem::path stage_record(const std::string& stage) const;
  std::filesystem::path checkpoint_key(const std::string& stage) const;

  std::filesystem::path root_;
};

// metrics.jsonl, appended to. When a stage goes on, the lines of the steps that are done again are dropped.
class MetricsFile {
 public:
  explicit MetricsFile(std::filesystem::path path) : path_(std::move(path)) {}

  // Lines of `stage` stay when it is `resumed`, up to the place where its first new line stands.
  void begin_stage(const std::string& stage, bool resumed);
  void add(const Json& line);

 private:
  using Place = std::pair<int64_t, int64_t>;  // epoch, step

  static Place place(const Json& line);
  void rewrite(Place first_new);

  std::filesystem::path path_;
  std::string stage_;
  bool trimmed_ = false;
  bool failed_ = false;
  std::ofstream stream_;
};

// The lines of such a file; those that are not whole are left out.
std::vector<Json> read_metrics(const std::filesystem::path& path);

}  // namespace mc
