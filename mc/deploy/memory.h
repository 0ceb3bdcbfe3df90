// Resident memory of this process.
#pragma once

namespace mc {

// The largest growth of resident memory since it was made. The kernel's peak mark is put back to the present
// first where that is allowed; elsewhere only growth that is still there counts.
class PeakMemory {
 public:
  PeakMemory();
  double megabytes() const;  // 10^6 bytes, at least 0

 private:
  bool exact_;
  double before_;
};

}  // namespace mc
