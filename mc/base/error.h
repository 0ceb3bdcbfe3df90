// The one error type. It says what is wrong, where, and what to do; while it unwinds, every layer
// prepends what it was looking at: "model.onnx: node 'conv1' (Conv): expected 4 dims, got 3".
#pragma once

#include <exception>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace mc {

enum class ErrorKind {
  kCheck = 1,          // a check that was asked for did not hold
  kInput = 2,          // bad usage or input
  kInterrupted = 130,  // the user stopped it; work done so far is saved
};

class Error : public std::exception {
 public:
  explicit Error(std::string message, ErrorKind kind = ErrorKind::kInput)
      : message_(std::move(message)), kind_(kind) {}

  const char* what() const noexcept override { return message_.c_str(); }
  ErrorKind kind() const { return kind_; }

  // Prepends "where: ". Called while the error passes through a layer that knows more.
  void add_context(const std::string& where) { message_ = where + ": " + message_; }

 private:
  std::string message_;
  ErrorKind kind_;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Runs `body`; an Error that leaves it gains the context that `where()` returns (evaluated only then).
template <class Where, class Body>
decltype(auto) with_context(Where&& where, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (Error& error) {
    error.add_context(where());
    throw;
  }
}

}  // namespace mc

// Throws mc::Error with the formatted message unless `condition` holds. For input and usage, never for
// our own mistakes (use assert).
#define MC_CHECK(condition, ...)               \
  do {                                         \
    if (!(condition)) ::mc::fail(__VA_ARGS__); \
  } while (false)
