// The tables and look-ups that the summary and the page share, over a run's document.
#pragma once

#include <string>
#include <vector>

#include "mc/base/json.h"
#include "mc/report/figures.h"
#include "mc/report/table.h"

namespace mc {

class RunView {
 public:
  explicit RunView(const Json& results) : results_(results) {}

  const Json& document() const { return results_; }

  // Names in the order of `models`, then such as stand only in rows.
  std::vector<std::string> models() const;
  int color(const std::string& model) const;  // its place among them
  // What others are measured against: "fp32" if there is one, else the first model that was benchmarked.
  std::string baseline() const;
  std::string final_model() const;  // the last of `models`

  const Json& model(const std::string& name) const;  // null when it is not listed
  const Json& evaluation(const std::string& model, const std::string& engine) const;
  Figure speedup(const Json& benchmark_row) const;  // over the baseline's row on that engine at that batch

  Table stages() const;
  Table sizes() const;
  bool sizes_differ() const;  // in parameters or multiply-accumulates
  Table deployment() const;
  Table agreement() const;
  Table checks() const;
  Table quantization() const;  // layers left in float, with the reason
  Table environment() const;

 private:
  const Json& results_;
};

std::string date_text(const Json& environment);  // "2026-11-23 04:42 UTC"

// "int8 on torch" of one side of a pair.
std::string side_text(const Json& pair, const char* model, const char* engine);

}  // namespace mc
