// Drives opset conversion for tests in Python: convert_opset LIST, where each line of LIST is
// OPSET<tab>IN<tab>OUT. Prints "IN<tab>why" for each that fails; exits with 1 then. convert_opset --table
// prints the table: an operator, the opset that brought it, and those that changed it, a line each.
#include <cstdio>
#include <fstream>
#include <sstream>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"
#include "mc/onnx/onnx.h"
#include "mc/rewrite/convert_opset.h"
#include "mc/rewrite/convert_opset_table.h"

namespace {

void print_table() {
  for (const mc::OpsetHistory& history : mc::opset_histories()) {
    std::printf("%s %ld", std::string(history.op).c_str(), static_cast<long>(history.first));
    for (const mc::OpsetChange& change : history.changes)
      std::printf(" %ld", static_cast<long>(change.version));
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: convert_opset LIST | --table\n", stderr);
    return 2;
  }
  if (std::string(argv[1]) == "--table") {
    print_table();
    return 0;
  }
  int status = 0;
  std::istringstream lines(mc::read_file(argv[1]));
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> parts = mc::split(line, '\t');
    try {
      MC_CHECK(parts.size() == 3, "a line is OPSET, IN and OUT: '{}'", line);
      mc::Model model = mc::read_onnx(parts[1]);
      mc::convert_opset(model, std::stoll(parts[0]));
      std::ofstream(parts[2], std::ios::binary) << mc::to_bytes(model);
    } catch (const mc::Error& error) {
      std::printf("%s\t%s\n", parts.size() > 1 ? parts[1].c_str() : "?", error.what());
      status = 1;
    }
  }
  return status;
}
