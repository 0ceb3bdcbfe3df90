"""Quantization of tensors, simulated: integers in floating point, and rounding that training sees."""

import torch
from torch.ao.quantization import FakeQuantize as TorchFakeQuantize
from torch.ao.quantization import MinMaxObserver, MovingAverageMinMaxObserver

from .. import _core

_ONNX_INTEGERS = {(0, 255): torch.uint8, (-128, 127): torch.int8}
_OBSERVERS = {MinMaxObserver: "min_max", MovingAverageMinMaxObserver: "moving_average"}


def calc_max_quant_value(bits):
    """The largest value of so many bits without a sign."""
    return 2**bits - 1


def _quantize(input, scale=1.0, zero_point=0, quant_min=0, quant_max=255):
    """Levels of a grid as floating-point integers, ties to even."""
    return (input * (1 / scale)).round().add(zero_point).clamp(quant_min, quant_max)


def _dequantize(input, scale=1.0, zero_point=0):
    """What levels of a grid stand for."""
    return (input - zero_point) * scale


class _Places(torch.Tensor):
    """Counts of binary places. PyTorch has no longer `x >> n` of floating point, by which callers divide by 2^n."""

    __torch_function__ = (
        torch._C._disabled_torch_function_impl
    )  # what is computed from it is an ordinary tensor

    def __rrshift__(self, x):
        return x * torch.exp2(-self)


def _get_a_n_scale_decomposition(scale, scale_bits=16):
    """(n, a) with scale = a / 2^n, where a is an integer of `scale_bits` bits: how integer hardware multiplies."""
    scale = scale.abs()
    n = torch.floor(scale_bits - 1 - torch.log2(scale))
    a = torch.round(scale * torch.exp2(n)).clamp(0, calc_max_quant_value(scale_bits))
    return n.as_subclass(_Places), a


def _requantize(
    input,
    input_scale=1.0,
    input_zero_point=0,
    output_scale=1.0,
    output_zero_point=0,
    quant_min=0,
    quant_max=255,
    scale_bits=16,
):
    """Accumulated integers as levels of another grid, by integer arithmetic."""
    if input_zero_point != 0:
        raise NotImplementedError("requantization starts from integers whose zero point is 0")
    n, a = _get_a_n_scale_decomposition(input_scale / output_scale, scale_bits)
    return ((input * a) >> n).round().add(output_zero_point).clamp(quant_min, quant_max)


def is_exporting():
    """Whether this run only records operations: then no tensor can be read, and the core cannot be called."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


def _onnx(operator, inputs, dtype, shape):
    return torch.onnx.ops.symbolic(operator, inputs, dtype=dtype, shape=shape, version=19)


class FakeQuantize(TorchFakeQuantize):
    """torch.ao's FakeQuantize, whose training runs in the native core, and which in eval mode gives the levels.

    The state is torch.ao's. Observers other than plain minima and maxima of tensors run as torch.ao has them.
    """

    def forward(self, X):
        """Training, or while fake quantization is off: as torch.ao. Else levels as floating-point integers."""
        if not self.training and self.fake_quant_enabled[0] == 1:
            return self.quantize(X)
        if self._runs_natively(X):
            return self._forward_natively(X)
        return super().forward(X)

    def quantize(self, X):
        """The levels of X."""
        return _quantize(X, self.scale, self.zero_point, self.quant_min, self.quant_max)

    def exported(self, X):
        """X rounded to the grid as it is, by operators that exporters know: ONNX's own in an ONNX graph."""
        if torch.jit.is_tracing():
            return torch.fake_quantize_per_tensor_affine(
                X, self.scale, self.zero_point, self.quant_min, self.quant_max
            )
        integer = _ONNX_INTEGERS.get((self.quant_min, self.quant_max))
        if integer is None or not torch.onnx.is_in_onnx_export():
            return _dequantize(self.quantize(X), self.scale, self.zero_point)
        grid = (self.scale.reshape(()), self.zero_point.reshape(()).to(integer))
        levels = _onnx("QuantizeLinear", (X, *grid), integer, X.shape)
        return _onnx("DequantizeLinear", (levels, *grid), X.dtype, X.shape)

    def _runs_natively(self, X):
        # Where levels have no sign, torch.ao's symmetric zero points depend on more than the core's.
        symmetric = self.qscheme == torch.per_tensor_symmetric and self.quant_min < 0
        return (
            type(self.activation_post_process) in _OBSERVERS
            and (symmetric or self.qscheme == torch.per_tensor_affine)
            and X.numel() > 0
            and not is_exporting()
        )

    def _forward_natively(self, X):
        observer = self.activation_post_process
        return _core.fake_quantize(
            X,
            self.scale,
            self.zero_point,
            observer.min_val.view(1),
            observer.max_val.view(1),
            quant_min=self.quant_min,
            quant_max=self.quant_max,
            symmetric=self.qscheme == torch.per_tensor_symmetric,
            averaging=getattr(observer, "averaging_constant", 1.0),
            observer=_OBSERVERS[type(observer)],
            observe=bool(self.observer_enabled[0]),
            quantize=bool(self.fake_quant_enabled[0]),
        )


default_activation_fake_quant = FakeQuantize.with_args(
    observer=MovingAverageMinMaxObserver,
    quant_min=0,
    quant_max=255,
    dtype=torch.quint8,
    qscheme=torch.per_tensor_affine,
)

default_weight_fake_quant = FakeQuantize.with_args(
    observer=MinMaxObserver,
    quant_min=-128,
    quant_max=127,
    dtype=torch.qint8,
    qscheme=torch.per_tensor_symmetric,
)
