// What a ladder has tried, on disk beside its output, so that the next run goes on from there.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "mc/base/json.h"
#include "mc/quantize/quantize.h"
#include "mc/search/judge.h"

namespace mc {

struct Remembered {
  Judgement judgement;
  double seconds = 0;
};

class LadderMemory {
 public:
  // `subject` says what was quantized and judged; a memory of another subject, or one that cannot be read, is
  // forgotten with a warning. Without `resume` it starts empty.
  LadderMemory(std::filesystem::path file, Json subject, bool resume);

  std::optional<Remembered> find(const QuantizeOptions& options) const;
  // Options whose model is in the output; empty: none.
  bool is_on_disk(const QuantizeOptions& options) const;
  // Written to disk at once.
  void add(const QuantizeOptions& options, const Remembered& remembered);
  void set_on_disk(const QuantizeOptions& options);

 private:
  void read();
  void write() const;

  std::filesystem::path file_;
  Json subject_;
  std::map<std::string, Remembered> tried_;  // by the options as JSON
  std::string on_disk_;
};

}  // namespace mc
