// The relaxation of rounding that learned rounding minimizes: a weight's level is floor(w / s) + h(V), and h
// moves from anywhere in [0, 1] to 0 or 1 while a regularizer sharpens (M. Nagel et al., "Up or down?
// Adaptive rounding for post-training quantization", ICML 2020, section 3.3). Elementwise, any shape, float.
#pragma once

#include <ATen/core/Tensor.h>

namespace mc {

// h(V) = clip(sigmoid(V) (zeta - gamma) + gamma, 0, 1), eq. 23; reaches 0 and 1 at finite V.
inline constexpr double kRoundingZeta = 1.1;
inline constexpr double kRoundingGamma = -0.1;
at::Tensor rectified_sigmoid(const at::Tensor& v);

// The V with h(V) = h, for h in [0, 1].
at::Tensor inverse_rectified_sigmoid(const at::Tensor& h);

// The sum over all elements of 1 - |2 h(V) - 1|^beta, eq. 24; beta above 1.
at::Tensor rounding_regularizer(const at::Tensor& v, double beta);

// The gradient by V of loss + strength * rounding_regularizer(V, beta), where `by_h` is the gradient of the
// loss by h(V). In closed form: the inner loop of learning needs no autograd for it.
at::Tensor rounding_gradient(const at::Tensor& v, const at::Tensor& by_h, double strength, double beta);

// The exponent of eq. 24 at `progress` (0 to 1) of the learning behind the warm start: from 20 to 2 along
// half a cosine. A high one leaves h free but for the ends, a low one pushes every h to 0 or 1.
double rounding_beta(double progress);

}  // namespace mc
