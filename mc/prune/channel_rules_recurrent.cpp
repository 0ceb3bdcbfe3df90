// LSTM, GRU and RNN: hidden unit h is row h of every gate, column h of the recurrent weight, and element h of
// the states; both directions lose it together.
#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

void join_recurrent(Ports& node) {
  const ChannelValue *x = node.in(0), *w = node.in(1), *r = node.in(2);
  const int64_t hidden = Ports::dim(r, 2);
  if (!x || !w || !r || w->rank() != 3 || r->rank() != 3 || hidden < 1 || r->dims[1] % hidden != 0) return;
  node.same(Ports::axis(x, 2), Ports::axis(w, 2));
  node.use(1, 2, kConsumes | kMaskable);
  node.use(2, 2, kConsumes | kMaskable);
  const AxisId units = Ports::axis(r, 2);
  const auto gates = [&](size_t input, int uses) {
    node.link(units, Ports::axis(node.in(input), 1), [hidden](int64_t j) { return j % hidden; });
    node.use(input, 1, uses);
  };
  gates(1, kProduces | kMaskable);
  gates(2, kProduces | kMaskable);
  gates(3, kMaskable);
  for (size_t i = 5; i <= 6; ++i) {  // the first states
    node.same(units, Ports::axis(node.in(i), 2));
    node.use(i, 2, kMaskable);
  }
  if (node.in(7)) gates(7, kMaskable);  // peepholes of an LSTM
  for (size_t i = 0; i < node.outputs(); ++i) node.same(units, Ports::axis(node.out(i), -1));
}

void cut_recurrent(CutNode& node) {
  const ChannelValue* r = node.in(2);
  if (r && node.changed(r, 2) && node.node().find("hidden_size"))
    node.node().set({"hidden_size", node.size(r, 2)});
}

}  // namespace

std::vector<ChannelRule> recurrent_channel_rules() {
  return {{"LSTM", join_recurrent, cut_recurrent},
          {"GRU", join_recurrent, cut_recurrent},
          {"RNN", join_recurrent, cut_recurrent}};
}

}  // namespace mc
