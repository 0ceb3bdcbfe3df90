// How fast the machine itself runs, so that a change of the machine can be told from a change of a program:
// clocks step down when hot, and other guests of a host take cache and memory.
#pragma once

#include <vector>

namespace mc {

// Times one fixed piece of arithmetic (multiply-adds over buffers that fit a core's cache, on all threads),
// sampled between measurements. Not safe for several threads.
class MachineSpeed {
 public:
  MachineSpeed();
  void sample();             // some milliseconds
  double median_ms() const;  // of the samples; 0 without any
  // Drift: of the four quarters of the samples in order, the slowest one's median over the fastest one's,
  // less one; 0 with fewer than four samples. A quiet machine stays below 0.05.
  double drift() const;

 private:
  std::vector<std::vector<float>> buffers_;  // one a thread
  std::vector<double> times_;                // ms
};

}  // namespace mc
