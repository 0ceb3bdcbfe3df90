// Complaints about a recipe that has been read, at the line and column where its values stood.
#pragma once

#include <string>

#include "mc/base/config.h"
#include "mc/base/options_read.h"

namespace mc {

class Complaints {
 public:
  explicit Complaints(const Config& recipe) : recipe_(recipe) {}

  // About the value at a dotted path ("stages.1.distill"), or the nearest one around it that is written.
  void add(const std::string& path, const std::string& message);

  // Runs `body`; what it throws becomes a complaint about `path`. Errors other than bad input pass through.
  template <class Body>
  bool check(const std::string& path, Body&& body) {
    try {
      body();
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kInput) throw;
      add(path, error.what());
      return false;
    }
  }

  bool empty() const { return errors_.count() == 0; }
  void throw_if_any() const { errors_.throw_if_any(); }

 private:
  const Config& recipe_;
  options_detail::OptionErrors errors_;
};

}  // namespace mc
