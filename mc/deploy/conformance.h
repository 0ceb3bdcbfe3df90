// ONNX's backend tests through our executor. A case is a folder:
//   model.onnx
//   test_data_set_K/input_I.pb, output_I.pb   values in the order of the graph's inputs and outputs
//   data.json                                 optional {"rtol": R, "atol": A}, else 1e-3 and 1e-7
// An output holds when it has the same kind, element type and shape and every element e of what is expected
// is met within atol + rtol |e|; NaN meets NaN. Batch norm and dropout train where the file says so, by
// ONNX's rules and not by those of train().
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mc/base/json.h"

namespace mc {

struct ConformanceCase {
  std::string name;    // of the folder
  std::string reason;  // one line; empty where it passed
  double seconds = 0;
  bool passed() const { return reason.empty(); }
};

struct Conformance {
  std::filesystem::path folder;
  std::vector<ConformanceCase> cases;  // by name
  int64_t passed() const;
  int64_t failed() const { return static_cast<int64_t>(cases.size()) - passed(); }
};

// Runs `folder` where it is a case itself, else every case in it; a case that fails, whatever the reason,
// stops no other. Reports progress. Throws Error when there is no case, or on interruption.
Conformance run_conformance(const std::filesystem::path& folder);

// The document of `conformance --json`.
Json to_json(const Conformance& conformance);

}  // namespace mc
