// Operators that multiply by weights, and embeddings.
#include <algorithm>

#include "mc/prune/channel_rules.h"

namespace mc {
namespace {

using Ports = ChannelPorts;

constexpr int kRows = kProduces | kMaskable;
constexpr int kColumns = kConsumes | kMaskable;

// Weight [out, in / groups, ...]. Of grouped convolutions whole groups go, each with its inputs and outputs;
// where that cannot be, the same channel of every group, of the inputs and of the outputs on its own.
void join_grouped(Ports& node, AxisId x, AxisId y, const ChannelValue* w, int64_t groups) {
  const int64_t inputs = w->dims[1], outputs = w->dims[0] / groups;
  const AxisId rows = Ports::axis(w, 0), columns = Ports::axis(w, 1);
  node.same(rows, y);
  const bool depthwise = inputs == 1;
  const size_t option = node.choose(2, false);
  if (option == 0) {
    node.link(x, x, [inputs](int64_t i) { return i / inputs * inputs; });
    node.link(x, rows, [inputs, outputs](int64_t o) { return o / outputs * inputs; });
  } else {
    node.link(x, x, [inputs](int64_t i) { return i % inputs; });
    if (!depthwise) node.link(x, columns, [](int64_t i) { return i; });
    node.link(rows, rows, [outputs](int64_t o) { return o % outputs; });
  }
  node.watch({x, y});
}

void join_conv(Ports& node) {
  const ChannelValue *x = node.in(0), *w = node.in(1), *y = node.out(0);
  const int64_t groups = node.node().get_int("group", 1);
  if (!x || !w || !y || w->rank() < 3 || groups < 1) return;
  const AxisId channels = Ports::axis(x, 1), made = Ports::axis(y, 1);
  const bool fits =
      w->dims[0] > 0 && w->dims[1] > 0 && w->dims[0] % groups == 0 && Ports::dim(x, 1) == w->dims[1] * groups;
  if (!fits) return;
  node.same(Ports::axis(x, 0), Ports::axis(y, 0));
  if (groups == 1) {
    node.same(channels, Ports::axis(w, 1));
    node.use(1, 1, kColumns);
    node.same(Ports::axis(w, 0), made);
  } else if (w->dims[1] == 1 && w->dims[0] == groups) {
    node.same(channels, Ports::axis(w, 0));
    node.same(channels, made);
  } else {
    join_grouped(node, channels, made, w, groups);
    node.use(1, 1, kColumns);
  }
  node.use(1, 0, kRows);
  node.same(Ports::axis(node.in(2), 0), made);
  node.use(2, 0, kMaskable);
  node.same(Ports::axis(node.in(3), 1), made);  // a residual that FusedConv takes in
}

// Weight [in, out / groups, ...].
void join_conv_transpose(Ports& node) {
  const ChannelValue *x = node.in(0), *w = node.in(1), *y = node.out(0);
  const int64_t groups = node.node().get_int("group", 1);
  if (!x || !w || !y || w->rank() < 3 || groups < 1) return;
  const AxisId channels = Ports::axis(x, 1), made = Ports::axis(y, 1);
  if (Ports::dim(x, 1) != w->dims[0] || w->dims[0] % groups != 0 || w->dims[1] < 1) return;
  node.same(Ports::axis(x, 0), Ports::axis(y, 0));
  node.same(channels, Ports::axis(w, 0));
  if (groups == 1) {
    node.same(Ports::axis(w, 1), made);
    node.use(1, 1, kRows);
    node.use(1, 0, kColumns);
  } else {
    const int64_t inputs = w->dims[0] / groups, outputs = w->dims[1];
    node.link(channels, channels, [inputs](int64_t i) { return i / inputs * inputs; });
    node.link(channels, made, [inputs, outputs](int64_t o) { return o / outputs * inputs; });
    node.use(1, 0, kRows | kConsumes);
  }
  node.same(Ports::axis(node.in(2), 0), made);
  node.use(2, 0, kMaskable);
}

// The groups that are left: as many as the input has times what one takes.
void cut_conv(CutNode& node) {
  const int64_t groups = node.node().get_int("group", 1);
  const ChannelValue *x = node.in(0), *w = node.in(1);
  if (groups == 1 || !x || !w || w->rank() < 2 || !node.changed(x, 1)) return;
  node.node().set({"group", node.size(x, 1) / node.size(w, 1)});
}

void cut_conv_transpose(CutNode& node) {
  const int64_t groups = node.node().get_int("group", 1);
  const ChannelValue* x = node.in(0);
  if (groups == 1 || !x || x->rank() < 2 || !node.changed(x, 1)) return;
  node.node().set({"group", node.size(x, 1) / (x->dims[1] / groups)});
}

// Joins what a product sums over, and says which side makes channels and which reads them.
void join_sum(Ports& node, int64_t a_axis, int64_t b_axis, int64_t a_free, int64_t b_free) {
  const AxisId summed = Ports::axis(node.in(0), a_axis);
  node.same(summed, Ports::axis(node.in(1), b_axis));
  const bool a_constant = node.is_constant(0), b_constant = node.is_constant(1);
  if (b_constant) node.use(1, b_axis, kColumns), node.use(1, b_free, kRows);
  if (a_constant) node.use(0, a_axis, kColumns), node.use(0, a_free, kRows);
  if (!a_constant && !b_constant) node.inexact(summed);
}

void join_gemm(Ports& node) {
  const ChannelValue *a = node.in(0), *b = node.in(1), *y = node.out(0);
  if (!a || !b || !y || a->rank() != 2 || b->rank() != 2) return;
  const int64_t a_axis = node.node().get_int("transA", 0) ? 0 : 1;
  const int64_t b_axis = node.node().get_int("transB", 0) ? 1 : 0;
  join_sum(node, a_axis, b_axis, 1 - a_axis, 1 - b_axis);
  node.same(Ports::axis(a, 1 - a_axis), Ports::axis(y, 0));
  node.same(Ports::axis(b, 1 - b_axis), Ports::axis(y, 1));
  node.broadcast(node.in(2), y);
  for (int64_t k = 0; node.in(2) && k < node.in(2)->rank(); ++k) node.use(2, k, kMaskable);
}

// `turn_a`, `turn_b`: the last two axes change places first.
void join_product(Ports& node, bool turn_a, bool turn_b) {
  const ChannelValue *a = node.in(0), *b = node.in(1), *y = node.out(0);
  if (!a || !b || !y || a->rank() < 2 || b->rank() < 2 || y->rank() != std::max(a->rank(), b->rank())) return;
  const int64_t a_axis = turn_a ? -2 : -1, b_axis = turn_b ? -1 : -2;
  join_sum(node, a_axis, b_axis, -3 - a_axis, -3 - b_axis);
  node.same(Ports::axis(a, -3 - a_axis), Ports::axis(y, -2));
  node.same(Ports::axis(b, -3 - b_axis), Ports::axis(y, -1));
  for (const ChannelValue* side : {a, b}) {
    for (int64_t k = 3; k <= side->rank(); ++k) {
      if (Ports::dim(side, -k) == 1) {
        node.leave(Ports::axis(side, -k));
        if (Ports::dim(y, -k) == 1) node.leave(Ports::axis(y, -k));
      } else {
        node.same(Ports::axis(side, -k), Ports::axis(y, -k));
      }
    }
  }
}

void join_matmul(Ports& node) {
  join_product(node, false, false);
}

void join_fused_matmul(Ports& node) {
  if (node.node().get_int("transBatchA", 0) || node.node().get_int("transBatchB", 0)) return;
  join_product(node, node.node().get_int("transA", 0) != 0, node.node().get_int("transB", 0) != 0);
}

// Labels of Einsum stand for axes; those that the result lacks are summed over.
void join_einsum(Ports& node) {
  std::string equation = node.node().get_string("equation", "");
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  if (arrow == std::string::npos || equation.find('.') != std::string::npos || node.inputs() != 2) return;
  const std::string made = equation.substr(arrow + 2);
  const size_t comma = equation.find(',');
  if (comma > arrow) return;
  const std::string terms[] = {equation.substr(0, comma), equation.substr(comma + 1, arrow - comma - 1)};
  for (size_t i = 0; i < 2; ++i) {
    const ChannelValue* value = node.in(i);
    if (!value || value->rank() != static_cast<int64_t>(terms[i].size())) return;
  }
  const ChannelValue* y = node.out(0);
  if (!y || y->rank() != static_cast<int64_t>(made.size())) return;
  const bool constant[] = {node.is_constant(0), node.is_constant(1)};
  for (size_t i = 0; i < 2; ++i) {
    for (size_t k = 0; k < terms[i].size(); ++k) {
      const char label = terms[i][k];
      const auto axis = static_cast<int64_t>(k);
      const size_t in_result = made.find(label), in_other = terms[1 - i].find(label);
      if (in_result != std::string::npos) {
        node.same(Ports::axis(node.in(i), axis), Ports::axis(y, static_cast<int64_t>(in_result)));
        if (constant[i]) node.use(i, axis, kRows);
      } else if (in_other != std::string::npos) {
        node.same(Ports::axis(node.in(i), axis), Ports::axis(node.in(1 - i), static_cast<int64_t>(in_other)));
        if (constant[i]) node.use(i, axis, kColumns);
        if (!constant[0] && !constant[1]) node.inexact(Ports::axis(node.in(i), axis));
      }
    }
  }
}

// Rows of a table; the index takes its axis's place. Constant indices cut the axis they choose from too.
void join_gather(Ports& node) {
  const ChannelValue *data = node.in(0), *index = node.in(1), *y = node.out(0);
  if (!data || !index || !y || y->rank() != data->rank() - 1 + index->rank()) return;
  const int64_t axis = wrap_axis(node.node().get_int("axis", 0), data->rank());
  if (axis < 0) return;
  const bool table = node.is_constant(0);
  for (int64_t k = 0; k < data->rank(); ++k) {
    if (k == axis) continue;
    node.same(Ports::axis(data, k), Ports::axis(y, k < axis ? k : k - 1 + index->rank()));
    if (table) node.use(0, k, kRows);
  }
  const auto chosen = constant_ints(index);
  if (chosen && index->rank() == 1 && data->dims[axis] > 0) {
    const int64_t size = data->dims[axis];
    node.link(Ports::axis(data, axis), Ports::axis(y, axis),
              [&](int64_t i) { return wrap_axis((*chosen)[i], size); });
    node.leave(Ports::axis(index, 0));
    return;
  }
  for (int64_t k = 0; k < index->rank(); ++k) node.same(Ports::axis(index, k), Ports::axis(y, axis + k));
}

// Axes behind those that the index tuples choose from.
void join_gather_nd(Ports& node) {
  const ChannelValue *data = node.in(0), *index = node.in(1), *y = node.out(0);
  const int64_t tuple = Ports::dim(index, -1);
  if (!data || !index || !y || tuple < 1 || node.node().get_int("batch_dims", 0) != 0) return;
  if (tuple > data->rank() || y->rank() != index->rank() - 1 + data->rank() - tuple) return;
  for (int64_t k = tuple; k < data->rank(); ++k) {
    node.same(Ports::axis(data, k), Ports::axis(y, k - tuple + index->rank() - 1));
    if (node.is_constant(0)) node.use(0, k, kRows);
  }
}

void cut_gather(CutNode& node) {
  const ChannelValue *data = node.in(0), *index = node.in(1);
  const int64_t axis = data ? wrap_axis(node.node().get_int("axis", 0), data->rank()) : -1;
  const auto chosen = constant_ints(index);
  if (axis < 0 || !chosen || index->rank() != 1 || !node.changed(data, axis)) return;
  std::vector<int64_t> left;
  for (const int64_t i : *chosen) {
    const int64_t at = wrap_axis(i, data->dims[axis]);
    if (at >= 0 && node.keeps(data, axis, at)) left.push_back(node.kept_before(data, axis, at));
  }
  node.set_ints(1, {}, left);
}

}  // namespace

std::vector<ChannelRule> layer_channel_rules() {
  return {{"Conv", join_conv, cut_conv},
          {"FusedConv", join_conv, cut_conv, "com.microsoft"},
          {"ConvTranspose", join_conv_transpose, cut_conv_transpose},
          {"Gemm", join_gemm},
          {"FusedGemm", join_gemm, nullptr, "com.microsoft"},
          {"MatMul", join_matmul},
          {"FusedMatMul", join_fused_matmul, nullptr, "com.microsoft"},
          {"TransposeMatMul", join_fused_matmul, nullptr, "com.microsoft"},
          {"Einsum", join_einsum},
          {"Gather", join_gather, cut_gather},
          {"GatherND", join_gather_nd}};
}

}  // namespace mc
