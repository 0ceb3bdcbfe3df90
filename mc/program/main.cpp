#include "mc/base/free_memory.h"
#include "mc/cli/program.h"

int main(int argc, char** argv) {
  mc::keep_free_memory();
  return mc::run_program({argv + 1, argv + argc});
}
