// Drives the ONNX reader and writer for tests in Python: onnx_roundtrip LIST, where each line of LIST is
// MODE<tab>IN<tab>OUT. Modes: onnx (read, write), external (read, write with external data), from_text
// (parse text, write), to_text (read, print in full), through_text (read, print in full, parse that, write).
// Prints a line for each that fails; exits with 1 then.
#include <cstdio>
#include <sstream>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"
#include "mc/onnx/onnx.h"

namespace {

void convert(const std::string& mode, const std::string& in, const std::string& out) {
  if (mode == "from_text") {
    write_onnx(mc::parse_model(mc::read_file(in)), out);
  } else if (mode == "to_text") {
    mc::write_file_atomic(out, mc::print(mc::read_onnx(in), /*full=*/true));
  } else if (mode == "through_text") {
    write_onnx(mc::parse_model(mc::print(mc::read_onnx(in), /*full=*/true)), out);
  } else {
    mc::WriteOptions options;
    options.external_data = mode == "external";
    options.external_threshold = 16;
    write_onnx(mc::read_onnx(in), out, options);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: onnx_roundtrip LIST\n", stderr);
    return 2;
  }
  int status = 0;
  std::istringstream lines(mc::read_file(argv[1]));
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> parts = mc::split(line, '\t');
    try {
      MC_CHECK(parts.size() == 3, "a line is MODE, IN and OUT: '{}'", line);
      convert(parts[0], parts[1], parts[2]);
    } catch (const mc::Error& error) {
      std::printf("%s: %s\n", parts.size() > 1 ? parts[1].c_str() : "?", error.what());
      status = 1;
    }
  }
  return status;
}
