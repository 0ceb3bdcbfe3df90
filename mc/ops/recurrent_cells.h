// What the recurrent operators RNN, GRU and LSTM compute in one time step (equations in the operators'
// documents of ONNX, opsets 7 to 22). Internal to the room.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"

namespace mc {

enum class CellKind { kRnn, kGru, kLstm };

// An activation function of ONNX's list; alpha and beta where it has them.
struct CellActivation {
  enum class Kind {
    kRelu,
    kTanh,
    kSigmoid,
    kAffine,
    kLeakyRelu,
    kThresholdedRelu,
    kScaledTanh,
    kHardSigmoid,
    kElu,
    kSoftsign,
    kSoftplus,
  };
  Kind kind = Kind::kTanh;
  double alpha = 0;
  double beta = 0;

  at::Tensor operator()(const at::Tensor& x) const;
};

struct RecurrentSpec {
  CellKind kind = CellKind::kRnn;
  std::vector<bool> reversed;        // by direction: whether it runs from the last step to the first
  bool batch_first = false;          // layout 1: batch before time, and before directions
  double clip = 0;                   // gates take in values in [-clip, clip]; 0: no limit
  bool input_forget = false;         // LSTM: the forget gate is 1 - the input gate
  bool linear_before_reset = false;  // GRU
  std::vector<std::vector<CellActivation>> activations;  // by direction: f, then g, then h

  int64_t directions() const { return static_cast<int64_t>(reversed.size()); }
  int64_t gates() const { return kind == CellKind::kLstm ? 4 : kind == CellKind::kGru ? 3 : 1; }
};

// Throws Error for attributes that ONNX does not know or whose lists have other lengths.
RecurrentSpec parse_recurrent(const Node& node, CellKind kind);

// Where the inputs of the operators stand.
enum RecurrentInput : size_t { kData, kWeights, kRecurrence, kBias, kLengths, kHidden, kCell, kPeepholes };

// One direction's weights. Gates stand one after another: z r h in a GRU, i o f c in an LSTM.
struct CellWeights {
  at::Tensor input;      // [gates * hidden, input]
  at::Tensor recurrent;  // [gates * hidden, hidden]
  at::Tensor bias;       // [2 * gates * hidden], of the input, then of the recurrence; or undefined
  at::Tensor peephole;   // [3 * hidden], for i o f; or undefined
};

struct CellState {
  at::Tensor hidden;  // [batch, hidden]
  at::Tensor cell;    // the same, LSTM only
};

// The inputs of one run, checked, time first.
struct RecurrentRun {
  at::Tensor x;             // [time, batch, input]
  at::Tensor weights;       // [directions, gates * hidden, input]
  at::Tensor recurrence;    // [directions, gates * hidden, hidden]
  at::Tensor bias;          // [directions, 2 * gates * hidden], or undefined
  at::Tensor lengths;       // [batch], or undefined
  at::Tensor hidden, cell;  // [directions, batch, hidden]; cell for LSTM only
  at::Tensor peepholes;     // [directions, 3 * hidden], or undefined
};

// What running gives: y [time, batch, directions, hidden], the last states [directions, batch, hidden].
struct RecurrentResult {
  at::Tensor y, hidden, cell;
};

// One direction over a sequence.
class Cell {
 public:
  Cell(const RecurrentSpec& spec, int64_t direction, const CellWeights& weights);

  // What the gates take from the input, for all time steps at once: x [time, batch, input] to
  // [time, batch, gates * hidden].
  at::Tensor project(const at::Tensor& x) const;
  // The state after a step whose part of project() is `projected`.
  CellState step(const at::Tensor& projected, const CellState& state) const;

 private:
  at::Tensor clipped(const at::Tensor& x) const;
  CellState step_gru(const at::Tensor& projected, const CellState& state) const;
  CellState step_lstm(const at::Tensor& projected, const CellState& state) const;

  const RecurrentSpec& spec_;
  const std::vector<CellActivation>& activations_;
  at::Tensor input_;           // [input, gates * hidden]
  at::Tensor recurrent_;       // [hidden, gates * hidden]; of a GRU its two gates only
  at::Tensor candidate_;       // GRU: [hidden, hidden]
  at::Tensor input_bias_;      // what is added before the recurrence
  at::Tensor candidate_bias_;  // GRU with linear_before_reset: what is added to the candidate before reset
  std::vector<at::Tensor> peepholes_;
};

}  // namespace mc
