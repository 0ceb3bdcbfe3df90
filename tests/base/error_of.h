// For tests of messages.
#pragma once

#include <string>

#include "mc/base/error.h"

namespace mc {

// The message of the Error that `body` throws; empty when it throws none.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace mc
