// How many threads the numeric pools may use. Rooms that own a pool (LibTorch, an engine) read it.
#pragma once

namespace mc {

class Threads {
 public:
  static int count();            // cores of this process's affinity mask unless set
  static void set_count(int n);  // 0: back to the default. Throws Error when negative
};

}  // namespace mc
